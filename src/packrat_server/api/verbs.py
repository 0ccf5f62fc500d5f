"""Answers a CInP request: checks what the caller may do, and runs the function of the verb."""

import asyncio
import re
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select

from packrat_server.accounts.rights import Role, may_tag
from packrat_server.accounts.sessions import Caller
from packrat_server.accounts.visibility import visible_packages, visible_repos
from packrat_server.api.actions import ACTIONS
from packrat_server.api.call import Call, run_writer, writing_for
from packrat_server.api.context import ServerContext
from packrat_server.api.cors import ALLOWED_HEADERS
from packrat_server.api.description import MULTI_URI_MAX, ROOT, Model
from packrat_server.api.dialect import describe_in
from packrat_server.api.list_response import ListResponse
from packrat_server.api.messages import CinpError, CinpRequest, CinpResponse
from packrat_server.api.permissions import may_call
from packrat_server.api.records import READERS, file_ids, ids_of, read_page
from packrat_server.api.request_threads import run_to_end
from packrat_server.api.schema import REASON, describe_namespace
from packrat_server.api.values import object_not_found, read_arguments
from packrat_server.promotion.package_files import KEPT, create_package, delete_file, update_package
from packrat_server.promotion.rules import Rejected
from packrat_server.promotion.wanted_files import kept_files, wanted_files
from packrat_server.store.database import reading
from packrat_server.store.events import Author
from packrat_server.store.tables import package_files, packages, repos

_PACKAGE_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.+-]*")
_PAGE_LIMIT = 1_000_000
_WHOLE_LIST = 1000
"""Number of entries of a list that is written whole; a longer one is written while it is sent."""
_KEPT_LIMIT = 1_000_000
_PACKAGE = "Package/Package"
_PACKAGE_FILE = "Package/PackageFile"


async def answer(request: CinpRequest, call: Call) -> CinpResponse:
    """Answer one request.

    Args:
        request: The request.
        call: Who calls, and from where; the call of an action also has its object and arguments.

    Raises:
        CinpError: It is not allowed, or its answer is an error.
    """
    caller, context = call.caller, call.context
    if request.verb == "OPTIONS":
        return _options(request)
    check_verb(request)
    if request.verb == "DESCRIBE":
        return _describe(request)
    assert request.model is not None
    _check_permission(request, caller)
    match request.verb:
        case "GET":
            return await run_to_end(_get, request, request.model, caller, context)
        case "LIST":
            return await run_to_end(_list, request, request.model, caller, context)
        case "CALL":
            return await _call(request, call)
        case "CREATE":
            return await run_writer(context, _create, request, request.model, call)
        case "DELETE":
            return await run_writer(context, _delete, request, request.model, call)
        case _:
            return await run_writer(context, _update, request, request.model, call)


def check_verb(request: CinpRequest) -> None:
    """Check that the model takes the verb, no matter who calls.

    Raises:
        CinpError: It does not.
    """
    if request.model is not None and request.verb in request.model.not_allowed and request.verb != "CALL":
        raise CinpError(403, "Not Authorized")


def _options(request: CinpRequest) -> CinpResponse:
    if request.action is not None:
        verbs = ["OPTIONS", "DESCRIBE", "CALL"]
    else:
        verbs = request.model.verbs() if request.model is not None else ["OPTIONS", "DESCRIBE"]
    headers = {"Allow": ", ".join(verbs), "Access-Control-Allow-Methods": ", ".join(verbs)}
    headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
    return CinpResponse(None, 200, headers)


def _describe(request: CinpRequest) -> CinpResponse:
    if request.model is None:
        body, kind = describe_namespace(request.path), "Namespace"
    elif request.action is not None:
        body, kind = request.model.describe_action(request.action), "Action"
    else:
        body, kind = request.model.describe(), "Model"
    body = describe_in(body or {}, request.version)
    return CinpResponse(body, 200, {"Verb": "DESCRIBE", "Type": kind, "Cache-Control": "max-age=0"})


def _check_permission(request: CinpRequest, caller: Caller) -> None:
    """Check the caller's role; which objects a mirror sees is decided by the queries (accounts/visibility.py)."""
    assert request.model is not None
    action = f"({request.action.name})" if request.action is not None else ""
    if not may_call(caller, request.verb, _short(request.model.path + action)):
        raise CinpError(403, "Not Authorized")


def _short(path: str) -> str:
    """Write a path without the root: `Repo/Repo`, as the tables of this package name models and actions."""
    return path.removeprefix(ROOT)


def _get(request: CinpRequest, model: Model, caller: Caller, context: ServerContext) -> CinpResponse:
    # First, since it refuses a wrong header before anything is read.
    many = request.many
    found = _read(request, model, caller, context)
    body = found if many else next(iter(found.values()))
    return CinpResponse(body, 200, {"Verb": "GET", "Cache-Control": "no-cache", "Multi-Object": str(many)})


def _read(request: CinpRequest, model: Model, caller: Caller, context: ServerContext) -> dict[str, Any]:
    with reading(context.engine) as connection:
        return _read_from(connection, request, model, caller)


def _read_from(connection: Connection, request: CinpRequest, model: Model, caller: Caller) -> dict[str, Any]:
    ids = request.ids or ()
    if len(ids) > MULTI_URI_MAX:
        raise CinpError(400, f'id_list longer than supported length of "{MULTI_URI_MAX}"')
    records = READERS[_short(model.path)](connection, caller, list(dict.fromkeys(ids)))
    for object_id in ids:
        if object_id not in records:
            raise CinpError(404, {"model_path": model.path, "object_id": object_id})
    return {f"{model.path}:{object_id}:": records[object_id] for object_id in ids}


def _list(request: CinpRequest, model: Model, caller: Caller, context: ServerContext) -> CinpResponse:
    try:
        count, position = int(request.headers.get("count", "10")), int(request.headers.get("position", "0"))
    except ValueError:
        raise CinpError(400, "Count and Position must be integers if specified") from None
    if count < 0 or position < 0:
        raise CinpError(400, "Count and Position must not be negative")
    name = request.headers.get("filter")
    # The ids and the filter's conditions are read in one view, so that Total and the page belong together.
    with reading(context.engine) as connection:
        if name is None:
            found: Select[Any] | Sequence[object] = ids_of(caller, _short(model.path))
        else:
            found = _filtered(request, model, caller, connection, name)
        if isinstance(found, Select):
            page, total = read_page(connection, found, position, min(count, _PAGE_LIMIT))
        else:
            page, total = found[position : position + min(count, _PAGE_LIMIT)], len(found)
    id_only = request.headers.get("id-only", "").lower() == "true"
    headers = {"Count": str(len(page)), "Position": str(position), "Total": str(total), "Id-Only": str(id_only)}
    headers = {"Verb": "LIST", "Cache-Control": "no-cache", **headers}
    before, after = ("", "") if id_only else (f"{model.path}:", ":")
    if len(page) <= _WHOLE_LIST:
        return CinpResponse([f"{before}{object_id}{after}" for object_id in page], 200, headers)
    return ListResponse(page, before, after, headers)


def _filtered(
    request: CinpRequest, model: Model, caller: Caller, connection: Any, name: str
) -> Select[Any] | Sequence[object]:
    """Find what a filter lets through: a query for ids, or the ids themselves where more than a query decides."""
    if name not in model.filters:
        raise CinpError(400, f'Invalid Filter Name "{name[:100]}"')
    values = read_arguments(model.filters[name], request.data)
    if name == "file_name":
        return file_ids(caller, package_files.c.file_name == values["file_name"])
    if name == "package":
        _need(connection, visible_packages(caller).where(packages.c.name == values["package"]), values, "package")
        return file_ids(caller, package_files.c.package == values["package"])
    # The only other filters that a model has: the files that a repository wants, or keeps.
    _need(connection, visible_repos(caller).where(repos.c.name == values["repo"]), values, "repo")
    if name == "kept":
        only_deprocated = values["deprocated"]
        return kept_files(connection, values["repo"], values["package_list"], only_deprocated=only_deprocated)
    return wanted_files(connection, values["repo"], values["package_list"])


def _need(connection: Any, query: Any, values: Mapping[str, Any], key: str) -> None:
    if connection.execute(query).first() is None:
        raise object_not_found(key, {"package": "Package/Package", "repo": "Repo/Repo"}[key], values[key])


async def _call(request: CinpRequest, call: Call) -> CinpResponse:
    model, action = request.model, request.action
    assert model is not None and action is not None
    headers = {"Verb": "CALL", "Cache-Control": "no-cache", "Multi-Object": "False"}
    run = ACTIONS[_short(f"{model.path}({action.name})")]
    if action.static:
        arguments = read_arguments(action.parameters, request.data)
        value = await run(replace(call, arguments=arguments))
        return value if isinstance(value, CinpResponse) else CinpResponse(value, 200, headers)
    if request.ids is None:
        raise CinpError(400, "Non-Static Actions should be passed ids")
    many = request.many
    finds_itself = _finds_itself(request, call.caller)
    # Nothing is done where one of the objects does not exist or is hidden from the caller.
    if not finds_itself and not _is_own_mirror(request, call.caller):
        await run_to_end(_read, request, model, call.caller, call.context)
    try:
        arguments = read_arguments(action.parameters, request.data)
    except CinpError:
        # A missing object is the first thing to report.
        if finds_itself:
            await run_to_end(_read, request, model, call.caller, call.context)
        raise
    call = replace(call, arguments=arguments, can_stream=call.can_stream and not many)
    # An action that changes package files changes all of them, or none where it is refused for one.
    groups = [request.ids] if _short(model.path) == _PACKAGE_FILE else [(object_id,) for object_id in request.ids]
    values = await _run_together([run(replace(call, ids=ids)) for ids in groups])
    if not many and isinstance(values[0], CinpResponse):
        return values[0]
    if not many:
        return CinpResponse(values[0], 200, headers)
    # The actions of package files give nothing.
    by_id = zip(request.ids, values if len(groups) > 1 else values * len(request.ids), strict=True)
    body = {f"{model.path}:{object_id}:": value for object_id, value in by_id}
    return CinpResponse(body, 200, {**headers, "Multi-Object": "True"})


async def _run_together(actions: Iterable[Awaitable[Any]]) -> list[Any]:
    """Await all of them; if one fails, end the others before its error is raised."""
    running = [asyncio.ensure_future(action) for action in actions]
    try:
        return await asyncio.gather(*running)
    finally:
        for action in running:
            action.cancel()
        # What their threads still do counts as at work until they end.
        await asyncio.wait(running)


def _is_own_mirror(request: CinpRequest, caller: Caller) -> bool:
    """Whether a mirror calls an action of its own record, which is there as long as its session."""
    own = caller.role == Role.MIRROR and request.ids == (caller.name,)
    return own and request.model is not None and _short(request.model.path) == "Repo/Mirror"


def _finds_itself(request: CinpRequest, caller: Caller) -> bool:
    """Whether the action is one on a single package file, which looks for the file before anything else.

    Users see all package files, so nobody else has to look.
    """
    is_of_one_file = request.ids is not None and len(request.ids) == 1 and caller.role != Role.MIRROR
    return is_of_one_file and request.model is not None and _short(request.model.path) == _PACKAGE_FILE


def _create(request: CinpRequest, model: Model, call: Call) -> CinpResponse:
    name, counts = request.data.get("name"), _counts(request)
    if name is None:
        raise CinpError(400, {"name": "Required Paramater"})
    if not isinstance(name, str) or len(name) > 200 or not _PACKAGE_NAME.fullmatch(name):
        raise CinpError(400, {"name": ["Invalid"]})
    if any(count < KEPT[key] for key, count in counts.items()) and not may_call(call.caller, "UPDATE", _PACKAGE):
        # A caller that may not lower the counts of a package may not make one with lower counts, either.
        raise CinpError(403, "Not Authorized")
    try:
        with writing_for(call) as connection:
            create_package(connection, name, _author(request, call), counts)
            # Before the commit: an answer that fails after it would say that nothing was made.
            record = _one_package(connection, name)
    except Rejected as error:
        raise CinpError(400, {"name": [error.message]}) from None
    headers = {"Verb": "CREATE", "Cache-Control": "no-cache", "Multi-Object": "False"}
    return CinpResponse(record, 201, {**headers, "Object-Id": f"{model.path}:{name}:"})


def _update(request: CinpRequest, model: Model, call: Call) -> CinpResponse:
    counts = _counts(request)
    ids = request.ids or ()
    if len(ids) != 1:
        raise CinpError(400, "UPDATE takes one id")
    with writing_for(call) as connection:
        row = connection.execute(packages.select().where(packages.c.name == ids[0])).first()
        if row is None:
            raise CinpError(404, {"model_path": model.path, "object_id": ids[0]})
        update_package(connection, row, _author(request, call), counts)
        record = _one_package(connection, ids[0])
    headers = {"Verb": "UPDATE", "Cache-Control": "no-cache", "Multi-Object": "False"}
    return CinpResponse(record, 200, headers)


def _delete(request: CinpRequest, model: Model, call: Call) -> CinpResponse:
    author = _author(request, call)
    with writing_for(call) as connection:
        # Read within the transaction: of two who delete the same file, the second gets the answer that there is none.
        found = _read_from(connection, request, model, call.caller)
        # It takes the file out of all repositories of its tags, as a mark does.
        if not all(may_tag(call.caller.rights, tag) for record in found.values() for tag in record["tags"]):
            raise CinpError(403, "Not Authorized")
        for object_id in dict.fromkeys(request.ids or ()):
            delete_file(connection, int(object_id), author)
    call.context.notifier.notify()
    return CinpResponse(None, 200, {"Verb": "DELETE", "Cache-Control": "no-cache", "Multi-Object": str(request.many)})


def _author(request: CinpRequest, call: Call) -> Author:
    """Who makes a change that is not an action, and the reason, which is beside the values."""
    return replace(call, arguments=read_arguments((REASON,), request.data)).author


def _counts(request: CinpRequest) -> dict[str, int]:
    counts = {}
    for key in ("deprocated_count", "failed_count"):
        if key in request.data:
            value = request.data[key]
            # Not isinstance: True is an int, too.
            if type(value) is not int or not 0 <= value <= _KEPT_LIMIT:
                raise CinpError(400, {key: 'Invalid Value "Unable to convert to an int"'})
            counts[key] = value
    return counts


def _one_package(connection: Connection, name: str) -> dict[str, Any]:
    return READERS[_PACKAGE](connection, Caller("", Role.ADMIN), [name])[name]
