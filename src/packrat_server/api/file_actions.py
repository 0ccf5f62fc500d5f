"""Actions on package files and tags: upload, promote, mark as failed or deprecated."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from packrat_server.accounts.rights import may_tag
from packrat_server.api.call import Call, read, write
from packrat_server.api.description import ROOT, uri
from packrat_server.api.messages import CinpError
from packrat_server.api.request_threads import run_to_end
from packrat_server.api.values import object_not_found, parse_id
from packrat_server.inspect_file import Inspected, Unrecognized
from packrat_server.promotion.package_files import NewFile, create_file
from packrat_server.promotion.promote import mark_file, tag_file, unmark_file, untag_file
from packrat_server.promotion.rules import Mark, Rejected
from packrat_server.promotion.uploads import distro_version_options, find_upload, inspect_upload
from packrat_server.store.tables import package_file_tags, package_files, required_tags, tags

# Built once: to build one takes longer than to run it.
_TAG = select(tags.c.name).where(tags.c.name == bindparam("name"))
_FILE = select(package_files.c.id).where(package_files.c.id == bindparam("file"))


async def tag_map(call: Call) -> dict[str, Any]:
    """Give each tag with the tags that it requires and whether it needs a change control id."""

    def query(connection: Connection) -> dict[str, Any]:
        required: dict[str, list[str]] = {}
        for row in connection.execute(select(required_tags).order_by(required_tags.c.required)):
            required.setdefault(row.tag, []).append(row.required)
        return {
            row.name: {"required": required.get(row.name, []), "change_control": row.change_control_required}
            for row in connection.execute(select(tags).order_by(tags.c.created, tags.c.name))
        }

    return await read(call, query)


async def tag(call: Call) -> None:
    """Promote a file to a tag."""
    name, change_control_id = call.arguments["tag"], call.arguments["change_control_id"]

    def change(connection: Connection, file_id: int) -> None:
        _need_tag(connection, name)
        _need_right(call, [name])
        tag_file(connection, file_id, name, change_control_id, call.author)

    await _promote(call, change)


async def untag(call: Call) -> None:
    """Take a tag off a file."""

    def change(connection: Connection, file_id: int) -> None:
        _need_tag(connection, call.arguments["tag"])
        _need_right(call, [call.arguments["tag"]])
        untag_file(connection, file_id, call.arguments["tag"], call.author)

    await _promote(call, change)


async def _promote(call: Call, change: Callable[[Connection, int], None]) -> None:
    """Make a change of all files that are called, or of none of them where a rule forbids it for one."""

    def change_all(connection: Connection) -> None:
        for object_id in dict.fromkeys(call.ids):
            try:
                change(connection, _file_id(connection, object_id))
            except Rejected as error:
                which = f"package file {object_id}: " if len(call.ids) > 1 else ""
                body = {"class": "PackageException", "error": error.code, "message": f"{which}{error.message}"}
                raise CinpError(400, body) from None

    await write(call, change_all)


def _need_tag(connection: Connection, name: str) -> None:
    if connection.execute(_TAG, {"name": name}).first() is None:
        raise object_not_found("tag", "Attrib/Tag", name)


def _file_id(connection: Connection, object_id: str) -> int:
    file_id = parse_id(object_id)
    if file_id is not None:
        found = connection.execute(_FILE, {"file": file_id}).scalar()
        if found is not None:
            return int(found)
    raise CinpError(404, {"model_path": f"{ROOT}Package/PackageFile", "object_id": object_id})


def _need_right_to_mark(call: Call, connection: Connection, file_id: int) -> None:
    """Check the right to put a mark on or take it off: that changes all repositories of the tags that the file has."""
    names = select(package_file_tags.c.tag).where(package_file_tags.c.package_file == file_id)
    _need_right(call, connection.execute(names).scalars().all())


def _need_right(call: Call, names: Iterable[str]) -> None:
    """Check that the caller has the right to each of some tags."""
    if not all(may_tag(call.caller.rights, name) for name in names):
        raise CinpError(403, "Not Authorized")


def marking(mark: Mark) -> Callable[[Call], Awaitable[None]]:
    """Make the action that marks a file."""

    async def act(call: Call) -> None:
        def change(connection: Connection, file_id: int) -> None:
            _need_right_to_mark(call, connection, file_id)
            mark_file(connection, file_id, mark, call.author)

        await _promote(call, change)

    return act


def unmarking(mark: Mark) -> Callable[[Call], Awaitable[None]]:
    """Make the action that takes a mark off a file."""

    async def act(call: Call) -> None:
        def change(connection: Connection, file_id: int) -> None:
            _need_right_to_mark(call, connection, file_id)
            unmark_file(connection, file_id, mark, call.author)

        await _promote(call, change)

    return act


async def create(call: Call) -> str:
    """Make a package file of an upload; gives its URI."""
    given = call.arguments
    new = NewFile(given["justification"] or "", given["provenance"] or "", given["distroversion"])
    upload, inspected = await _inspect(call)

    def change(connection: Connection) -> int:
        return create_file(connection, upload, inspected, new, call.author)

    try:
        return uri("Package/PackageFile", await write(call, change))
    except Rejected as error:
        raise _invalid_result(f"PackageException ({error.code}): {error.message}") from None


async def distro_versions_for(call: Call) -> list[str]:
    """List the distribution versions that an upload may go to."""
    _, inspected = await _inspect(call)
    return await read(call, lambda connection: distro_version_options(connection, inspected))


async def _inspect(call: Call) -> tuple[Row[Any], Inspected]:
    try:
        upload = await read(call, lambda connection: find_upload(connection, call.arguments["file"]))
        async with call.context.admission.inspecting():
            return upload, await run_to_end(inspect_upload, call.context.data_dir, upload, call.arguments["type"])
    except Unrecognized as error:
        raise _invalid_result(str(error)) from None


def _invalid_result(text: str) -> CinpError:
    return CinpError(400, f'Invalid Result Value: "{text}"')


async def file_name_in_use(call: Call) -> bool:
    """Tell whether a package file has that name."""
    query = select(package_files.c.id).where(package_files.c.file_name == call.arguments["file_name"])
    return await read(call, lambda connection: connection.execute(query).first() is not None)
