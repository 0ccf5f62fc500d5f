"""Takes package files in and promotes them: create, tag, fail, deprocate, and each of them undone.

Takes: what an uploader asks for.
Gives: ids, or a Rejected that says why not.
Touches: the database.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from sqlalchemy import Connection, Row, delete, insert, select, update

from packrat_server.inspect_file import Inspected, Unrecognized, inspect_file
from packrat_server.journal import note_file
from packrat_server.store.blobs import blob_path
from packrat_server.store.tables import (
    distro_versions,
    package_file_tags,
    package_files,
    packages,
    required_tags,
    tags,
    uploads,
)
from packrat_server.store.text import is_storable

_LENGTH_LIMIT = 200
_CHANGE_CONTROL_LIMIT = 50
_MARKS = ("failed", "deprocated")


class Rejected(Exception):
    """What was asked breaks a rule of the server; `code` names the rule."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def find_upload(connection: Connection, handle: str) -> Row[Any]:
    """Give an upload's row.

    Raises: Unrecognized where the handle is not known, or the upload has no name.
    """
    row = connection.execute(select(uploads).where(uploads.c.handle == handle)).first()
    if row is None:
        raise Unrecognized("File not found: upload it again")
    if row.file_name is None:
        raise Unrecognized("the upload has no file name: send Content-Disposition with it")
    return row


def inspect_upload(data_dir: Path, upload: Row[Any], kind: str | None) -> Inspected:
    """Tell what an upload is; a large one takes its time, so nobody holds the database meanwhile.

    Raises: Unrecognized, also where what it says of itself can't be stored.
    """
    inspected = inspect_file(blob_path(data_dir, upload.sha256), upload.file_name, kind)
    for text in (inspected.package, inspected.version):
        if len(text) > _LENGTH_LIMIT or not is_storable(text):
            raise Unrecognized(f"its name or version is longer than {_LENGTH_LIMIT} characters, or no proper text")
    return inspected


def distro_version_options(connection: Connection, inspected: Inspected) -> list[str]:
    """Name the distribution versions that a file may go to: those its version names, else all of its type."""
    fitting = connection.execute(
        select(distro_versions).where(distro_versions.c.file_type == inspected.type).order_by(distro_versions.c.ordinal)
    ).all()
    named = [row.name for row in fitting if _names_release(inspected.version, row.release_names)]
    return named or [row.name for row in fitting]


def _names_release(version: str, release_names: str) -> bool:
    return any(
        re.search(rf"(?<![0-9A-Za-z.]){re.escape(name)}(?![0-9])", version.replace(".el", "-el"))
        for name in release_names.split(",")
        if name
    )


@dataclass(frozen=True, slots=True)
class NewFile:
    """What `create` is asked to make of an upload."""

    justification: str
    provenance: str
    distro_version: str


def create_file(connection: Connection, upload: Row[Any], inspected: Inspected, asked: NewFile, by: str) -> int:
    """Make a package file of an upload; gives its id.

    Raises: Rejected
    """
    if asked.distro_version not in distro_version_options(connection, inspected):
        raise Rejected(
            "INVALID_DISTROVERSION", f'DistroVersion "{asked.distro_version}" is not an option for this file'
        )
    package = _find_package(connection, inspected)
    if package is None:
        raise Rejected("NO_PACKAGE", f'Unable to find package "{inspected.package}"')
    named = connection.execute(
        select(package_files.c.sha256).where(package_files.c.file_name == upload.file_name)
    ).scalars()
    if any(sha256 != upload.sha256 for sha256 in named):
        raise Rejected("FILENAME_USED", f'File name "{upload.file_name}" allready used')
    identity = {
        "package": package,
        "distro_version": asked.distro_version,
        "version": inspected.version,
        "type": inspected.type,
        "arch": inspected.arch,
    }
    # A version of a Python project has many files: wheels, and the source distribution.
    taken = {**identity, "file_name": upload.file_name} if inspected.type == "python" else identity
    if connection.execute(select(package_files.c.id).filter_by(**taken)).first() is not None:
        raise Rejected(
            "ALLREADY_EXISTS",
            "Package file with this Package, Distroversion, Version, Type and Arch already exists.",
        )
    now = datetime.now(UTC)
    made = connection.execute(
        insert(package_files).values(
            **identity,
            epoch=inspected.epoch,
            justification=asked.justification,
            provenance=asked.provenance,
            file_name=upload.file_name,
            sha256=upload.sha256,
            size=upload.size,
            created_by=by,
            created=now,
            updated=now,
        )
    )
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])


def _find_package(connection: Connection, inspected: Inspected) -> str | None:
    """The package of a file; of a Python project that which is there, however its files spell the project."""
    if connection.execute(select(packages.c.name).where(packages.c.name == inspected.package)).first() is not None:
        return inspected.package
    if inspected.type != "python":
        return None
    project = canonicalize_name(inspected.package)
    names = connection.execute(
        select(package_files.c.package).where(package_files.c.type == "python").distinct().order_by("package")
    ).scalars()
    return next((name for name in names if canonicalize_name(name) == project), None)


def create_package(connection: Connection, name: str, deprocated_count: int = 10, failed_count: int = 5) -> None:
    """Make a package.

    Raises: Rejected where it is there already.
    """
    if connection.execute(select(packages.c.name).where(packages.c.name == name)).first() is not None:
        raise Rejected("EXISTS", "Package with this Name already exists.")
    now = datetime.now(UTC)
    connection.execute(
        insert(packages).values(
            name=name, deprocated_count=deprocated_count, failed_count=failed_count, created=now, updated=now
        )
    )


def tag_file(connection: Connection, file_id: int, tag: str, change_control_id: str | None, by: str) -> None:
    """Promote a file to a tag.

    Raises: Rejected where the file is failed or deprocated, has the tag, lacks a required one, or the tag needs a
    change control id.
    """
    row = connection.execute(select(package_files).where(package_files.c.id == file_id)).one()
    standing = [what for what in _MARKS if getattr(row, f"{what}_at") is not None]
    if standing:
        raise Rejected("DEPROCATED/FAILED", f"The file is {' and '.join(standing)}, it takes no tags")
    has = set(
        connection.execute(select(package_file_tags.c.tag).where(package_file_tags.c.package_file == file_id)).scalars()
    )
    if tag in has:
        raise Rejected("ALLREADY_TAGGED", f'Allready tagged with "{tag}"')
    required = connection.execute(
        select(required_tags.c.required).where(required_tags.c.tag == tag).order_by(required_tags.c.required)
    ).scalars()
    for name in required:
        if name not in has:
            raise Rejected("TAG_REQUIRED", f'Required tag "{name}" missing')
    needs_control = connection.execute(select(tags.c.change_control_required).where(tags.c.name == tag)).scalar()
    if needs_control and not change_control_id:
        raise Rejected("CHANGECONTROL_REQUIRED", f'Change Control required to tag with "{tag}"')
    if change_control_id and len(change_control_id) > _CHANGE_CONTROL_LIMIT:
        raise Rejected("CHANGECONTROL_INVALID", f"Change Control Id has more than {_CHANGE_CONTROL_LIMIT} characters")
    connection.execute(
        insert(package_file_tags).values(
            package_file=file_id, tag=tag, by=by, at=datetime.now(UTC), change_control_id=change_control_id or None
        )
    )
    _touch(connection, file_id)
    note_file(connection, file_id, [tag])


def untag_file(connection: Connection, file_id: int, tag: str) -> None:
    """Take a tag off again.

    Raises: Rejected where the file does not have it, or has another tag that requires it.
    """
    has = set(
        connection.execute(select(package_file_tags.c.tag).where(package_file_tags.c.package_file == file_id)).scalars()
    )
    if tag not in has:
        raise Rejected("NOT_TAGGED", f'Not tagged with "{tag}"')
    dependents = connection.execute(
        select(required_tags.c.tag).where(required_tags.c.required == tag).order_by(required_tags.c.tag)
    ).scalars()
    for name in dependents:
        if name in has:
            raise Rejected("TAG_REQUIRED", f'Tag "{name}" requires it; take that off first')
    note_file(connection, file_id, [tag])
    connection.execute(
        delete(package_file_tags).where(package_file_tags.c.package_file == file_id, package_file_tags.c.tag == tag)
    )
    _touch(connection, file_id)


def mark_file(connection: Connection, file_id: int, what: str, by: str) -> None:
    """Mark a file as `failed` or `deprocated`; a mark that stands already stays as it is.

    Raises: Rejected where the other mark stands.
    """
    row = connection.execute(select(package_files).where(package_files.c.id == file_id)).one()
    if getattr(row, f"{what}_at") is not None:
        return
    for other in _MARKS:
        if getattr(row, f"{other}_at") is not None:
            raise Rejected(other.upper(), f"The file is {other} already, it can't be {what}")
    _set_mark(connection, file_id, what, datetime.now(UTC), by)


def unmark_file(connection: Connection, file_id: int, what: str) -> None:
    """Take the mark `failed` or `deprocated` off a file that may have it."""
    row = connection.execute(select(package_files).where(package_files.c.id == file_id)).one()
    if getattr(row, f"{what}_at") is not None:
        _set_mark(connection, file_id, what, None, None)


def _set_mark(connection: Connection, file_id: int, what: str, at: datetime | None, by: str | None) -> None:
    values = {f"{what}_at": at, f"{what}_by": by}
    connection.execute(update(package_files).where(package_files.c.id == file_id).values(values))
    _touch(connection, file_id)
    note_file(connection, file_id)


def delete_file(connection: Connection, file_id: int) -> None:
    """Delete a package file with its tags; its name is free for other bytes afterwards."""
    note_file(connection, file_id)
    connection.execute(delete(package_file_tags).where(package_file_tags.c.package_file == file_id))
    connection.execute(delete(package_files).where(package_files.c.id == file_id))


def _touch(connection: Connection, file_id: int) -> None:
    connection.execute(update(package_files).where(package_files.c.id == file_id).values(updated=datetime.now(UTC)))
