"""Answers CALLs, each action one function; those that wait for a change hold no thread meanwhile.

Takes: a Call: who asks, for which object, with which arguments.
Gives: JSON values, or a Fault.
Touches: the database.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Row, select, update
from starlette.concurrency import run_in_threadpool

from packrat_server import access
from packrat_server.access import Caller, Role
from packrat_server.api.messages import Fault
from packrat_server.api.records import uri
from packrat_server.inspect_file import Inspected, Unrecognized
from packrat_server.journal import Bell, newest, read_names, read_position, read_since
from packrat_server.login_queue import RETRY_AFTER_S, LoginQueue, QueueFull
from packrat_server.promote import (
    NewFile,
    Rejected,
    create_file,
    distro_version_options,
    find_upload,
    inspect_upload,
    mark_file,
    tag_file,
    unmark_file,
    untag_file,
)
from packrat_server.store.database import reading, writing
from packrat_server.store.tables import mirrors, package_files, required_tags, tags

T = TypeVar("T")

_POLL_S = (10, 240)
_CHANGES_S = (0, 240)


@dataclass(frozen=True, slots=True)
class House:
    """What the server works on."""

    engine: Engine
    data_dir: Path
    bell: Bell
    logins: LoginQueue


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an action on one object (id None: a static action)."""

    house: House
    caller: Caller
    token: str | None
    id: str | None
    arguments: dict[str, Any]


async def _read(call: Call, ask: Callable[[Connection], T]) -> T:
    def work() -> T:
        with reading(call.house.engine) as connection:
            return ask(connection)

    return await run_in_threadpool(work)


async def _write(call: Call, change: Callable[[Connection], T]) -> T:
    def work() -> T:
        with writing(call.house.engine) as connection:
            return change(connection)

    value = await run_in_threadpool(work)
    call.house.bell.ring()
    return value


async def login(call: Call) -> str:
    """Gives the token of a new session."""
    name, secret = call.arguments["username"], call.arguments["password"]
    try:
        return await _hash(call, name or "", partial(access.log_in, call.house.engine, name or "", secret or ""))
    except access.InvalidLogin:
        raise Fault(400, "Invalid Login") from None


async def _hash(call: Call, name: str, work: Callable[[], T]) -> T:
    """Do what hashes a secret, in the queue for that."""
    try:
        return await call.house.logins.run(name, work)
    except QueueFull:
        told = f"too many logins at once; try again in {RETRY_AFTER_S} s"
        raise Fault(429, told, {"Retry-After": str(RETRY_AFTER_S)}) from None


async def logout(call: Call) -> None:
    """Ends the session."""
    _need_session(call)
    await run_in_threadpool(access.log_out, call.house.engine, call.token or "")


async def whoami(call: Call) -> str:
    """The caller's name."""
    return call.caller.name


async def change_password(call: Call) -> None:
    """Sets the caller's password; every session of the caller ends."""
    password = call.arguments["password"]
    if not password:
        raise Fault(400, {"password": 'Invalid Value "an empty password"'})
    name = call.caller.name
    await _hash(call, name, partial(access.change_password, call.house.engine, name, password))


def _need_session(call: Call) -> None:
    if call.caller.role == Role.NOBODY:
        raise Fault(403, "Not Authorized")


async def tag_map(call: Call) -> dict[str, Any]:
    """Each tag with what it requires and whether it needs change control."""

    def ask(connection: Connection) -> dict[str, Any]:
        required: dict[str, list[str]] = {}
        for row in connection.execute(select(required_tags).order_by(required_tags.c.required)):
            required.setdefault(row.tag, []).append(row.required)
        return {
            row.name: {"required": required.get(row.name, []), "change_control": row.change_control_required}
            for row in connection.execute(select(tags).order_by(tags.c.created, tags.c.name))
        }

    return await _read(call, ask)


async def tag(call: Call) -> None:
    """Promotes a file."""
    wanted, control = call.arguments["tag"], call.arguments["change_control_id"]

    def change(connection: Connection) -> None:
        _need_tag(connection, wanted)
        tag_file(connection, _file_id(connection, call), wanted, control, call.caller.name)

    await _promote(call, change)


async def untag(call: Call) -> None:
    """Takes a tag off."""

    def change(connection: Connection) -> None:
        _need_tag(connection, call.arguments["tag"])
        untag_file(connection, _file_id(connection, call), call.arguments["tag"])

    await _promote(call, change)


async def _promote(call: Call, change: Callable[[Connection], None]) -> None:
    try:
        await _write(call, change)
    except Rejected as error:
        raise Fault(400, {"class": "PackageException", "error": error.code, "message": error.message}) from None


def _need_tag(connection: Connection, name: str) -> None:
    if connection.execute(select(tags.c.name).where(tags.c.name == name)).first() is None:
        model = "/api/v2/Attrib/Tag"
        raise Fault(400, {"tag": f'Invalid Value "Object "{model}:{name}:" for model "{model}" NotFound"'})


def _file_id(connection: Connection, call: Call) -> int:
    one = call.id or ""
    if one.isascii() and one.isdigit() and len(one) < 18:
        found = connection.execute(select(package_files.c.id).where(package_files.c.id == int(one))).scalar()
        if found is not None:
            return int(found)
    raise Fault(404, {"model_path": "/api/v2/Package/PackageFile", "object_id": one})


def _marking(what: str) -> Callable[[Call], Awaitable[None]]:
    async def mark(call: Call) -> None:
        def change(connection: Connection) -> None:
            mark_file(connection, _file_id(connection, call), what, call.caller.name)

        await _promote(call, change)

    return mark


def _unmarking(what: str) -> Callable[[Call], Awaitable[None]]:
    async def unmark(call: Call) -> None:
        def change(connection: Connection) -> None:
            unmark_file(connection, _file_id(connection, call), what)

        await _promote(call, change)

    return unmark


async def create(call: Call) -> str:
    """Makes a package file of an upload."""
    given = call.arguments
    asked = NewFile(given["justification"] or "", given["provenance"] or "", given["distroversion"])
    upload, inspected = await _inspect(call)

    def change(connection: Connection) -> int:
        return create_file(connection, upload, inspected, asked, call.caller.name)

    try:
        return uri("Package/PackageFile", await _write(call, change))
    except Rejected as error:
        raise _invalid_result(f"PackageException ({error.code}): {error.message}") from None


async def distro_versions_for(call: Call) -> list[str]:
    """Where an upload may go."""
    _, inspected = await _inspect(call)
    return await _read(call, lambda connection: distro_version_options(connection, inspected))


async def _inspect(call: Call) -> tuple[Row[Any], Inspected]:
    try:
        upload = await _read(call, lambda connection: find_upload(connection, call.arguments["file"]))
        return upload, await run_in_threadpool(inspect_upload, call.house.data_dir, upload, call.arguments["type"])
    except Unrecognized as error:
        raise _invalid_result(str(error)) from None


def _invalid_result(text: str) -> Fault:
    return Fault(400, f'Invalid Result Value: "{text}"')


async def file_name_in_use(call: Call) -> bool:
    """Whether a package file has that name."""
    query = select(package_files.c.id).where(package_files.c.file_name == call.arguments["file_name"])
    return await _read(call, lambda connection: connection.execute(query).first() is not None)


async def heartbeat(call: Call) -> None:
    """Notes that a mirror is alive."""
    now = datetime.now(UTC)
    change = update(mirrors).where(mirrors.c.name == call.id).values(last_heartbeat=now, updated=now)

    def work() -> None:
        with writing(call.house.engine) as connection:
            connection.execute(change)

    await run_in_threadpool(work)


async def poll(call: Call) -> list[str]:
    """Waits for a change of a repository and names its packages, as the original server does."""
    wait_s = _bounded(call.arguments["timeout"], _POLL_S)
    after = await _read(call, newest)
    repo = call.id or ""

    async def look() -> list[str]:
        return await _read(call, lambda connection: read_names(connection, repo, after))

    return await _wait(call, look, wait_s)


async def changes(call: Call) -> dict[str, Any]:
    """Tells a mirror what changed since a position; waits for it where nothing did."""
    position = call.arguments["position"]
    mirror = call.id or ""
    if position is None:
        return {"position": await _read(call, read_position), "changes": {}}
    wait_s = _bounded(call.arguments["timeout"], _CHANGES_S)
    latest: list[dict[str, Any]] = []

    async def look() -> bool:
        since = await _read(call, lambda connection: read_since(connection, mirror, position))
        told: dict[str, Any] = {
            uri("Repo/Repo", name): None if names is None else sorted(names) for name, names in since.repos.items()
        }
        if since.mirror:
            told[uri("Repo/Mirror", mirror)] = None
        latest[:] = [{"position": since.position, "changes": told}]
        return bool(told)

    await _wait(call, look, wait_s)
    return latest[0]


async def _wait(call: Call, look: Callable[[], Awaitable[T]], wait_s: float) -> T:
    """Look until there is something to see, at most wait_s."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        rung = call.house.bell.wait()
        try:
            seen = await look()
            if seen or call.house.bell.closed or loop.time() >= until:
                return seen
            await asyncio.wait([rung], timeout=until - loop.time())
        finally:
            rung.cancel()


def _bounded(timeout_s: int | None, limits: tuple[int, int]) -> int:
    if timeout_s is None:
        raise Fault(400, {"timeout": 'Invalid Value "Unable to convert to an int"'})
    return min(max(timeout_s, limits[0]), limits[1])


ACTIONS: dict[str, Callable[[Call], Awaitable[Any]]] = {
    "Auth/User(login)": login,
    "Auth/User(logout)": logout,
    "Auth/User(whoami)": whoami,
    "Auth/User(change_password)": change_password,
    "Attrib/Tag(tagMap)": tag_map,
    "Package/PackageFile(tag)": tag,
    "Package/PackageFile(untag)": untag,
    "Package/PackageFile(fail)": _marking("failed"),
    "Package/PackageFile(unfail)": _unmarking("failed"),
    "Package/PackageFile(deprocate)": _marking("deprocated"),
    "Package/PackageFile(undeprocate)": _unmarking("deprocated"),
    "Package/PackageFile(create)": create,
    "Package/PackageFile(distroversionOptions)": distro_versions_for,
    "Package/PackageFile(filenameInUse)": file_name_in_use,
    "Repo/Repo(poll)": poll,
    "Repo/Mirror(heartbeat)": heartbeat,
    "Repo/Mirror(changes)": changes,
}
