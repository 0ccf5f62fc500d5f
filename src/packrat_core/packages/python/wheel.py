"""Checks the frame of a wheel: one that pip and uv don't know ends them, also where an older version would do.

1. A wheel has one directory called `.dist-info` at its top.
2. Its file WHEEL is in UTF-8, and of Wheel-Version 1 or 1.x.

    read_wheel_file(archive, "tool-1.0.dist-info")

Source: Binary distribution format (PEP 427).
"""

import re
from email.parser import HeaderParser

from packrat_core.archives.zip_archive import ZipArchive
from packrat_core.errors import Refused

_WHEEL_FILE_LIMIT = 64 * 1024
_VERSION = re.compile(r"1(\.[0-9]{1,9})*")
_USUAL = re.compile(r"Wheel-Version: 1(\.[0-9]{1,9})*\n(?![ \t])")
"""How the file of nearly every wheel begins; the parser finds the same version in it, in twenty times as long."""
_SHOWN_LIMIT = 60
_ADVICE = "pip and uv refuse it; build it anew"


def read_wheel_file(archive: ZipArchive, info: str) -> str:
    """Return the text of a wheel's WHEEL file; '' if it has none.

    Args:
        archive: the wheel.
        info: its .dist-info directory, which has its METADATA.

    Raises:
        Refused: the wheel has another such directory, or is of a version that clients don't know.
    """
    found = None
    for member in archive.members:
        top, _, rest = member.name.partition("/")
        if top == info:
            found = member if rest == "WHEEL" else found
        elif top.endswith(".dist-info"):
            raise Refused(f"it has a second .dist-info directory, {top[:_SHOWN_LIMIT]!r}; {_ADVICE}")
    if found is None:
        return ""
    try:
        text = archive.read(found, _WHEEL_FILE_LIMIT).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"its WHEEL is not UTF-8; {_ADVICE}") from None
    if _USUAL.match(text):
        return text
    version = HeaderParser().parsestr(text).get("Wheel-Version")
    if version is None:
        raise Refused(f"its WHEEL has no Wheel-Version; {_ADVICE}")
    if not _VERSION.fullmatch(str(version).strip()):
        shown = str(version)[:_SHOWN_LIMIT]
        raise Refused(f"its WHEEL has the Wheel-Version {shown!r}, where clients know 1.0; {_ADVICE}")
    return text
