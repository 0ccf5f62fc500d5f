"""Makes packages and package files of uploads, and deletes package files."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from packaging.utils import canonicalize_name
from sqlalchemy import Connection, Row, delete, insert, select

from packrat_server.inspect_file import Inspected
from packrat_server.promotion.rules import Rejected
from packrat_server.promotion.uploads import distro_version_options
from packrat_server.store.journal import note_file
from packrat_server.store.tables import package_file_tags, package_files, packages


@dataclass(frozen=True, slots=True)
class NewFile:
    """What the uploader says of a new package file."""

    justification: str
    provenance: str
    distro_version: str


def create_file(connection: Connection, upload: Row[Any], inspected: Inspected, new: NewFile, by: str) -> int:
    """Make a package file of an upload.

    Args:
        connection: A writing transaction.
        upload: What `find_upload` found.
        inspected: What `inspect_upload` found in it.
        new: What the uploader says of it.
        by: The name of the user who uploads.

    Returns:
        The id of the package file.

    Raises:
        Rejected: It can't go to that distribution version, has no package, or collides with another file.
    """
    if new.distro_version not in distro_version_options(connection, inspected):
        raise Rejected("INVALID_DISTROVERSION", f'DistroVersion "{new.distro_version}" is not an option for this file')
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
            created_by=by,
            created=now,
            updated=now,
        )
    )
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])


def create_package(connection: Connection, name: str, deprocated_count: int = 10, failed_count: int = 5) -> None:
    """Make a package.

    Args:
        connection: A writing transaction.
        name: The name of the package.
        deprocated_count: Number of deprocated files to keep, as clients of the API set it.
        failed_count: Number of failed files to keep, as clients of the API set it.

    Raises:
        Rejected: There is a package of that name.
    """
    if connection.execute(select(packages.c.name).where(packages.c.name == name)).first() is not None:
        raise Rejected("EXISTS", "Package with this Name already exists.")
    now = datetime.now(UTC)
    connection.execute(
        insert(packages).values(
            name=name, deprocated_count=deprocated_count, failed_count=failed_count, created=now, updated=now
        )
    )


def delete_file(connection: Connection, file_id: int) -> None:
    """Delete a package file with its tags; its name is free for other bytes afterwards."""
    note_file(connection, file_id)
    connection.execute(delete(package_file_tags).where(package_file_tags.c.package_file == file_id))
    connection.execute(delete(package_files).where(package_files.c.id == file_id))


def _check_free(connection: Connection, upload: Row[Any], identity: Mapping[str, str]) -> None:
    """Check that neither the file name nor what identifies the file is taken.

    Raises:
        Rejected: Another file has it.
    """
    # A file is downloaded by its name alone, so a name stands for the same bytes in every distribution version.
    same_name = select(package_files.c.sha256).where(package_files.c.file_name == upload.file_name)
    # All rows are read, since a cursor left open keeps the old view of an SQLite database on this connection.
    if any(sha256 != upload.sha256 for sha256 in connection.execute(same_name).scalars().all()):
        raise Rejected("FILENAME_USED", f'File name "{upload.file_name}" allready used')
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
