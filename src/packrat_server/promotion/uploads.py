"""Reads what was uploaded: which package and version it is, and which distribution versions it may go to."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from packrat_server.inspect_file import Inspected, Unrecognized, inspect_file
from packrat_server.promotion.release_names import find_release, options
from packrat_server.store.blobs import blob_path
from packrat_server.store.tables import distro_versions, uploads
from packrat_server.store.text import is_storable

_LENGTH_LIMIT = 200
_REMEMBERED = 256


def find_upload(connection: Connection, handle: str) -> Row[Any]:
    """Find an upload by its handle.

    Raises:
        Unrecognized: The handle is not known, or the upload has no file name.
    """
    row = connection.execute(select(uploads).where(uploads.c.handle == handle)).first()
    if row is None:
        raise Unrecognized("File not found: upload it again")
    if row.file_name is None:
        raise Unrecognized("the upload has no file name: send Content-Disposition with it")
    return row


def inspect_upload(data_dir: Path, upload: Row[Any], kind: str | None) -> Inspected:
    """Inspect an upload.

    A large file takes a while to read, so call this outside of any transaction. An upload is asked about several times:
    which distribution versions it can go to, and once for each of these to make a package file of it.

    Args:
        data_dir: The server's data directory.
        upload: What `find_upload` found.
        kind: The type that the uploader says it is; None to find out.

    Returns:
        The package, version, type and architecture of the file.

    Raises:
        Unrecognized: The file is of no known type, or its name or version can't be stored.
    """
    path = blob_path(data_dir, upload.sha256)
    status = path.stat()
    unchanged = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    inspected = _inspect_once(path, upload.file_name, kind, unchanged)
    for text in (inspected.package, inspected.version):
        if len(text) > _LENGTH_LIMIT or not is_storable(text):
            raise Unrecognized(
                f"its name or version is longer than {_LENGTH_LIMIT} characters, or holds what can't be stored"
            )
    return inspected


@lru_cache(_REMEMBERED)
def _inspect_once(path: Path, name: str, kind: str | None, _unchanged: tuple[int, ...]) -> Inspected:
    """Inspect a file, and remember what it is as long as it is unchanged."""
    return inspect_file(path, name, kind)


def distro_version_options(connection: Connection, inspected: Inspected) -> list[str]:
    """List the distribution versions that a file may go to: those that its version names, else all of its type."""
    return options(inspected.version, inspected.type, _release_names(connection, inspected.type))


def explain_no_option(connection: Connection, inspected: Inspected, distro_version: str) -> str:
    """Say why a file can't go to a distribution version.

    Args:
        connection: An open transaction.
        inspected: What the file is.
        distro_version: The distribution version that it can't go to.
    """
    known = _release_names(connection, inspected.type)
    text = f'DistroVersion "{distro_version}" is not an option for this file'
    fitting = options(inspected.version, inspected.type, known)
    if fitting:
        # To the letter what the original server says; `distroversionOptions` lists them.
        return text
    release = find_release(inspected.version, inspected.type, (name for names in known.values() for name in names))
    if release is None:
        return f"{text}, no distribution version takes the type {inspected.type}"
    return f"{text}, it is built for the release {release}, which no distribution version has among its release names"


def _release_names(connection: Connection, kind: str) -> dict[str, list[str]]:
    """The distribution versions of a type, in their order → their release names."""
    rows = connection.execute(
        select(distro_versions).where(distro_versions.c.file_type == kind).order_by(distro_versions.c.ordinal)
    )
    return {row.name: [name for name in row.release_names.split(",") if name] for row in rows.all()}
