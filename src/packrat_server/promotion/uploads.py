"""Reads what was uploaded: which package and version it is, and which distribution versions it may go to."""

import re
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from packrat_server.inspect_file import Inspected, Unrecognized, inspect_file
from packrat_server.store.blobs import blob_path
from packrat_server.store.tables import distro_versions, uploads
from packrat_server.store.text import is_storable

_LENGTH_LIMIT = 200


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
    """Tell what an upload is.

    A large file takes a while to read, so call this outside of any transaction.

    Args:
        data_dir: The server's data directory.
        upload: What `find_upload` found.
        kind: The type that the uploader says it is; None to find out.

    Returns:
        The package, version, type and architecture of the file.

    Raises:
        Unrecognized: The file is of no known type, or its name or version can't be stored.
    """
    inspected = inspect_file(blob_path(data_dir, upload.sha256), upload.file_name, kind)
    for text in (inspected.package, inspected.version):
        if len(text) > _LENGTH_LIMIT or not is_storable(text):
            raise Unrecognized(
                f"its name or version is longer than {_LENGTH_LIMIT} characters, or holds what can't be stored"
            )
    return inspected


def distro_version_options(connection: Connection, inspected: Inspected) -> list[str]:
    """List the distribution versions that a file may go to: those that its version names, else all of its type."""
    fitting = connection.execute(
        select(distro_versions).where(distro_versions.c.file_type == inspected.type).order_by(distro_versions.c.ordinal)
    ).all()
    named = [row.name for row in fitting if _names_release(inspected.version, row.release_names)]
    return named or [row.name for row in fitting]


def _names_release(version: str, release_names: str) -> bool:
    """Whether a version holds one of the names, such as `el9` in `1.0-3.el9_2`, but not in `1.0-3.el90`."""
    return any(
        re.search(rf"(?<![0-9A-Za-z.]){re.escape(name)}(?![0-9])", version.replace(".el", "-el"))
        for name in release_names.split(",")
        if name
    )
