"""Answers a CinP request: finds who asks, checks what they may, hands the verb to its function.

Takes: Asked, the House.
Gives: a CinpResponse, or a Fault.
Touches: the database.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool

from packrat_server.access import Caller, InvalidSession, Role, find_caller
from packrat_server.api.calls import ACTIONS, Call, House
from packrat_server.api.messages import Asked, CinpResponse, Fault
from packrat_server.api.records import READERS, list_files, list_ids, uri
from packrat_server.api.schema import MULTI_URI_MAX, ROOT, Model, describe_namespace
from packrat_server.api.values import read_arguments
from packrat_server.catalog import visible_packages, visible_repos, wanted_files
from packrat_server.promote import Rejected, create_package, delete_file
from packrat_server.store.database import reading, writing
from packrat_server.store.tables import package_files, packages, repos

_OPEN = frozenset({"Auth/User(login)", "Auth/User(whoami)", "Auth/User(logout)"})
_OF_MIRRORS = frozenset({"Repo/Repo(poll)", "Repo/Mirror(heartbeat)", "Repo/Mirror(changes)", "Attrib/Tag(tagMap)"})
_PACKAGE_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.+-]*")
_COUNT_LIMIT = 1_000_000


async def answer(asked: Asked, house: House) -> CinpResponse:
    """Answer one request.

    Raises: Fault
    """
    if asked.verb == "OPTIONS":
        return _options(asked)
    if asked.model is not None and asked.verb in asked.model.not_allowed and asked.verb != "CALL":
        raise Fault(403, "Not Authorized")
    caller = await identify(asked.headers, house)
    if asked.verb == "DESCRIBE":
        return _describe(asked)
    assert asked.model is not None
    _check_permission(asked, caller)
    match asked.verb:
        case "GET":
            return await run_in_threadpool(_get, asked, asked.model, caller, house)
        case "LIST":
            return await run_in_threadpool(_list, asked, asked.model, caller, house)
        case "CALL":
            return await _call(asked, asked.model, caller, house)
        case "CREATE":
            return await run_in_threadpool(_create, asked, asked.model, house)
        case "DELETE":
            return await run_in_threadpool(_delete, asked, asked.model, caller, house)
        case _:
            return await run_in_threadpool(_update, asked, asked.model, house)


async def identify(headers: Mapping[str, str], house: House) -> Caller:
    """Find out whose session the request belongs to.

    Raises: Fault 401 where its token is not, or no longer, valid.
    """
    name, token = headers.get("auth-id"), headers.get("auth-token")
    try:
        return await run_in_threadpool(find_caller, house.engine, name, token)
    except InvalidSession:
        raise Fault(401, "Invalid Session") from None


def _options(asked: Asked) -> CinpResponse:
    if asked.action is not None:
        verbs = ["OPTIONS", "DESCRIBE", "CALL"]
    else:
        verbs = asked.model.verbs() if asked.model is not None else ["OPTIONS", "DESCRIBE"]
    headers = {"Allow": ", ".join(verbs), "Access-Control-Allow-Methods": ", ".join(verbs)}
    headers["Access-Control-Allow-Headers"] = (
        "Accept, Cinp-Version, Auth-Id, Auth-Token, Filter, Content-Type, Count, Position, Multi-Object, Id-Only"
    )
    return CinpResponse(None, 200, headers)


def _describe(asked: Asked) -> CinpResponse:
    if asked.model is None:
        body, kind = describe_namespace(asked.path), "Namespace"
    elif asked.action is not None:
        body, kind = asked.model.describe_action(asked.action), "Action"
    else:
        body, kind = asked.model.describe(), "Model"
    return CinpResponse(body, 200, {"Verb": "DESCRIBE", "Type": kind, "Cache-Control": "max-age=0"})


def _check_permission(asked: Asked, caller: Caller) -> None:
    assert asked.model is not None
    if asked.verb == "CALL":
        assert asked.action is not None
        called = _short(f"{asked.model.path}({asked.action.name})")
        allowed = called in _OPEN or caller.manages or (called in _OF_MIRRORS and caller.role == Role.MIRROR)
    elif asked.verb in ("GET", "LIST"):
        allowed = caller.role != Role.NOBODY
    else:
        allowed = caller.role == Role.ADMIN if asked.verb == "DELETE" else caller.manages
    if not allowed:
        raise Fault(403, "Not Authorized")


def _short(path: str) -> str:
    return path.removeprefix(ROOT)


def _get(asked: Asked, model: Model, caller: Caller, house: House) -> CinpResponse:
    many = asked.many
    found = _read(asked, model, caller, house)
    body = found if many else next(iter(found.values()))
    return CinpResponse(body, 200, {"Verb": "GET", "Cache-Control": "no-cache", "Multi-Object": str(many)})


def _read(asked: Asked, model: Model, caller: Caller, house: House) -> dict[str, Any]:
    ids = asked.ids or ()
    if len(ids) > MULTI_URI_MAX:
        raise Fault(400, f'id_list longer than supported length of "{MULTI_URI_MAX}"')
    with reading(house.engine) as connection:
        records = READERS[_short(model.path)](connection, caller, list(dict.fromkeys(ids)))
    for one in ids:
        if one not in records:
            raise Fault(404, {"model_path": model.path, "object_id": one})
    return {f"{model.path}:{one}:": records[one] for one in ids}


def _list(asked: Asked, model: Model, caller: Caller, house: House) -> CinpResponse:
    try:
        count, position = int(asked.headers.get("count", "10")), int(asked.headers.get("position", "0"))
    except ValueError:
        raise Fault(400, "Count and Position must be integers if specified") from None
    if count < 0 or position < 0:
        raise Fault(400, "Count and Position must not be negative")
    name = asked.headers.get("filter")
    with reading(house.engine) as connection:
        if name is None:
            found: Sequence[object] = list_ids(connection, caller, _short(model.path))
        else:
            found = _filtered(asked, model, caller, connection, name)
    page = found[position : position + min(count, _COUNT_LIMIT)]
    id_only = asked.headers.get("id-only", "").lower() == "true"
    body = [str(one) if id_only else uri(_short(model.path), one) for one in page]
    headers = {"Count": str(len(page)), "Position": str(position), "Total": str(len(found)), "Id-Only": str(id_only)}
    return CinpResponse(body, 200, {"Verb": "LIST", "Cache-Control": "no-cache", **headers})


def _filtered(asked: Asked, model: Model, caller: Caller, connection: Any, name: str) -> Sequence[object]:
    if name not in model.filters:
        raise Fault(400, f'Invalid Filter Name "{name[:100]}"')
    values = read_arguments(model.filters[name], asked.data)
    if name == "file_name":
        return list_files(connection, caller, package_files.c.file_name == values["file_name"])
    if name == "package":
        _need(connection, visible_packages(caller).where(packages.c.name == values["package"]), values, "package")
        return list_files(connection, caller, package_files.c.package == values["package"])
    _need(connection, visible_repos(caller).where(repos.c.name == values["repo"]), values, "repo")
    return wanted_files(connection, values["repo"], values["package_list"])


def _need(connection: Any, query: Any, values: Mapping[str, Any], key: str) -> None:
    if connection.execute(query).first() is None:
        model = ROOT + {"package": "Package/Package", "repo": "Repo/Repo"}[key]
        told = f'Object "{model}:{values[key]}:" for model "{model}" NotFound'
        raise Fault(400, {key: f'Invalid Value "{told}"'})


async def _call(asked: Asked, model: Model, caller: Caller, house: House) -> CinpResponse:
    action = asked.action
    assert action is not None
    headers = {"Verb": "CALL", "Cache-Control": "no-cache", "Multi-Object": "False"}
    do = ACTIONS[_short(f"{model.path}({action.name})")]
    token = asked.headers.get("auth-token")
    if action.static:
        arguments = read_arguments(action.parameters, asked.data)
        return CinpResponse(await do(Call(house, caller, token, None, arguments)), 200, headers)
    if asked.ids is None:
        raise Fault(400, "Non-Static Actions should be passed ids")
    many = asked.many
    await run_in_threadpool(_read, asked, model, caller, house)
    arguments = read_arguments(action.parameters, asked.data)
    values = await asyncio.gather(*(do(Call(house, caller, token, one, arguments)) for one in asked.ids))
    if not many:
        return CinpResponse(values[0], 200, headers)
    body = {f"{model.path}:{one}:": value for one, value in zip(asked.ids, values, strict=True)}
    return CinpResponse(body, 200, {**headers, "Multi-Object": "True"})


def _create(asked: Asked, model: Model, house: House) -> CinpResponse:
    name, counts = asked.data.get("name"), _counts(asked)
    if name is None:
        raise Fault(400, {"name": "Required Paramater"})
    if not isinstance(name, str) or len(name) > 200 or not _PACKAGE_NAME.fullmatch(name):
        raise Fault(400, {"name": ["Invalid"]})
    try:
        with writing(house.engine) as connection:
            create_package(connection, name, **counts)
    except Rejected as error:
        raise Fault(400, {"name": [error.message]}) from None
    headers = {"Verb": "CREATE", "Cache-Control": "no-cache", "Multi-Object": "False"}
    return CinpResponse(_one_package(name, house), 201, {**headers, "Object-Id": f"{model.path}:{name}:"})


def _update(asked: Asked, model: Model, house: House) -> CinpResponse:
    counts = _counts(asked)
    ids = asked.ids or ()
    if len(ids) != 1:
        raise Fault(400, "UPDATE takes one id")
    with writing(house.engine) as connection:
        row = connection.execute(packages.select().where(packages.c.name == ids[0])).first()
        if row is None:
            raise Fault(404, {"model_path": model.path, "object_id": ids[0]})
        if any(row._mapping[key] != value for key, value in counts.items()):
            changed = {**counts, "updated": datetime.now(UTC)}
            connection.execute(packages.update().where(packages.c.name == ids[0]).values(changed))
    headers = {"Verb": "UPDATE", "Cache-Control": "no-cache", "Multi-Object": "False"}
    return CinpResponse(_one_package(ids[0], house), 200, headers)


def _delete(asked: Asked, model: Model, caller: Caller, house: House) -> CinpResponse:
    _read(asked, model, caller, house)
    with writing(house.engine) as connection:
        for one in asked.ids or ():
            delete_file(connection, int(one))
    house.bell.ring()
    return CinpResponse(None, 200, {"Verb": "DELETE", "Cache-Control": "no-cache", "Multi-Object": str(asked.many)})


def _counts(asked: Asked) -> dict[str, int]:
    counts = {}
    for key in ("deprocated_count", "failed_count"):
        if key in asked.data:
            value = asked.data[key]
            if type(value) is not int or not 0 <= value <= 1_000_000:
                raise Fault(400, {key: 'Invalid Value "Unable to convert to an int"'})
            counts[key] = value
    return counts


def _one_package(name: str, house: House) -> dict[str, Any]:
    with reading(house.engine) as connection:
        return READERS["Package/Package"](connection, Caller("", Role.ADMIN), [name])[name]
