"""Makes packages and package files of uploads, and deletes package files; each change comes with its event."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from packaging.utils import canonicalize_name
from sqlalchemy import Connection, Row, delete, insert, select, update

from packrat_server.inspect_file import Inspected
from packrat_server.promotion.file_names import find_deleted
from packrat_server.promotion.rules import Rejected
from packrat_server.promotion.uploads import distro_version_options, explain_no_option
from packrat_server.store.events import Author, Event, State, add_event, file_event
from packrat_server.store.journal import note_file
from packrat_server.store.orphans import add_orphans
from packrat_server.store.tables import package_file_tags, package_files, packages

KEPT: Mapping[str, int] = {"deprocated_count": 10, "failed_count": 5}
"""Number of deprecated, and of failed, files that a new package keeps."""
_SHOWN = ("distro_version", "version", "type", "arch", "sha256", "size", "failed_by", "deprocated_by", "created_by")


@dataclass(frozen=True, slots=True)
class NewFile:
    """The uploader's description of a new package file."""

    justification: str
    provenance: str
    distro_version: str


def create_file(connection: Connection, upload: Row[Any], inspected: Inspected, new: NewFile, author: Author) -> int:
    """Make a package file of an upload.

    Args:
        connection: A writing transaction.
        upload: What `find_upload` found.
        inspected: What `inspect_upload` found in it.
        new: What the uploader says of it.
        author: Who uploads it, and why.

    Returns:
        The id of the package file.

    Raises:
        Rejected: It can't go to that distribution version, has no package, or collides with another file.
    """
    if new.distro_version not in distro_version_options(connection, inspected):
        raise Rejected("INVALID_DISTROVERSION", explain_no_option(connection, inspected, new.distro_version))
    package = _find_package(connection, inspected)
    if package is None:
        raise Rejected("NO_PACKAGE", f'Unable to find package "{inspected.package}"')
    identity = {
        "package": package,
        "distro_version": new.distro_version,
        "version": inspected.version,
        "type": inspected.type,
        "arch": inspected.arch,
    }
    _check_free(connection, upload, identity)
    now = datetime.now(UTC)
    made = connection.execute(
        insert(package_files).values(
            **identity,
            epoch=inspected.epoch,
            justification=new.justification,
            provenance=new.provenance,
            file_name=upload.file_name,
            sha256=upload.sha256,
            size=upload.size,
            created_by=author.name,
            created=now,
            updated=now,
        )
    )
    assert made.inserted_primary_key is not None
    row = connection.execute(select(package_files).where(package_files.c.id == made.inserted_primary_key[0])).one()
    add_event(connection, author, file_event("create", row, None, _state(row)))
    return int(row.id)


def create_package(connection: Connection, name: str, author: Author, counts: Mapping[str, int] = KEPT) -> None:
    """Make a package.

    Args:
        connection: A writing transaction.
        name: The name of the package.
        author: Who makes it, and why.
        counts: What differs from KEPT.

    Raises:
        Rejected: There is a package of that name.
    """
    if connection.execute(select(packages.c.name).where(packages.c.name == name)).first() is not None:
        raise Rejected("EXISTS", "Package with this Name already exists.")
    now = datetime.now(UTC)
    values = {**KEPT, **counts}
    connection.execute(insert(packages).values(name=name, created=now, updated=now, **values))
    add_event(connection, author, package_event("create", name, None, values))


def update_package(connection: Connection, row: Row[Any], author: Author, counts: Mapping[str, int]) -> None:
    """Change how many files of a package are kept; an update that changes nothing leaves `updated` as it is.

    Args:
        connection: A writing transaction.
        row: The package.
        author: Who changes it, and why.
        counts: What to change.
    """
    before = {key: row._mapping[key] for key in counts}
    if before == dict(counts):
        return
    changed = {**counts, "updated": datetime.now(UTC)}
    connection.execute(update(packages).where(packages.c.name == row.name).values(changed))
    add_event(connection, author, package_event("update", row.name, before, counts))


def package_event(action: str, name: str, before: State, after: State) -> Event:
    """Describe a change of a package.

    Args:
        action: The action.
        name: The name of the package.
        before: What the change is about, before it.
        after: The same afterwards.
    """
    return Event(action, "Package/Package", name, before, after, package=name)


def delete_file(connection: Connection, file_id: int, author: Author) -> None:
    """Delete a package file with its tags; its name stays with its bytes (file_names.py).

    Args:
        connection: A writing transaction.
        file_id: The package file.
        author: Who deletes it, and why.
    """
    row = connection.execute(select(package_files).where(package_files.c.id == file_id)).one()
    tags = connection.execute(
        select(package_file_tags.c.tag).where(package_file_tags.c.package_file == file_id).order_by("tag")
    )
    before = {**_state(row), "tags": list(tags.scalars())}
    note_file(connection, file_id)
    add_event(connection, author, file_event("delete", row, before, None))
    connection.execute(delete(package_file_tags).where(package_file_tags.c.package_file == file_id))
    connection.execute(delete(package_files).where(package_files.c.id == file_id))
    add_orphans(connection, [row.sha256], time.time())


def _state(row: Row[Any]) -> dict[str, Any]:
    """The description of a package file in an event."""
    return {name: getattr(row, name) for name in _SHOWN}


def _check_free(connection: Connection, upload: Row[Any], identity: Mapping[str, str]) -> None:
    """Check that neither the file name nor what identifies the file is taken.

    Raises:
        Rejected: Another file has it, or a deleted one had the name with other bytes.
    """
    # A file is downloaded by its name alone, so a name stands for the same bytes in every distribution version.
    same_name = select(package_files.c.sha256).where(package_files.c.file_name == upload.file_name)
    # All rows are read, since a cursor left open keeps the old view of an SQLite database on this connection.
    if any(sha256 != upload.sha256 for sha256 in connection.execute(same_name).scalars().all()):
        raise Rejected("FILENAME_USED", f'File name "{upload.file_name}" allready used')
    deleted = find_deleted(connection, upload.file_name)
    if deleted is not None and deleted.sha256 != upload.sha256:
        raise Rejected(
            "FILENAME_USED",
            f'File name "{upload.file_name}" allready used by a deleted file with the SHA-256 {deleted.sha256}',
        )
    # A version of a Python project has many files: wheels, and the source distribution.
    taken = {**identity, "file_name": upload.file_name} if identity["type"] == "python" else identity
    if connection.execute(select(package_files.c.id).filter_by(**taken)).first() is not None:
        raise Rejected(
            "ALLREADY_EXISTS",
            "Package file with this Package, Distroversion, Version, Type and Arch already exists.",
        )


def _find_package(connection: Connection, inspected: Inspected) -> str | None:
    """Find the package of a file; that of a Python project under any spelling of the project's name."""
    if connection.execute(select(packages.c.name).where(packages.c.name == inspected.package)).first() is not None:
        return inspected.package
    if inspected.type != "python":
        return None
    project = canonicalize_name(inspected.package)
    names = (
        connection.execute(
            select(package_files.c.package).where(package_files.c.type == "python").distinct().order_by("package")
        )
        .scalars()
        .all()
    )
    return next((name for name in names if canonicalize_name(name) == project), None)
