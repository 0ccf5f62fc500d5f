"""Wheels that no tool of today builds."""

import io
import re
import zipfile

from packrat_demo.build_wheel import pack_zip


def rename_info(wheel: bytes, directory: str) -> bytes:
    """The wheel with another name of its .dist-info directory."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        files = [(name, archive.read(name)) for name in archive.namelist()]
    return pack_zip([(re.sub(r"^[^/]+\.dist-info", lambda _: directory, name), data) for name, data in files])


def with_file(wheel: bytes, name: str, content: bytes) -> bytes:
    """The wheel with one more file."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return pack_zip([*((each, archive.read(each)) for each in archive.namelist()), (name, content)])
