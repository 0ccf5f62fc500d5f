"""Says what an archive of a Python distribution may hold, whatever kind of archive it is.

Takes: names and sizes as they stand in an archive.
Gives: nothing; Refused where they could harm a client that unpacks the archive.
Touches: nothing.
"""

from packrat_core.errors import Refused

METADATA_LIMIT = 4 * 1024 * 1024
"""Bytes of METADATA or PKG-INFO; real ones have some kilobytes."""

MEMBERS_LIMIT = 200_000

_UNPACKED_LIMIT = 16 * 1024**3
_HARMLESS = 256 * 1024 * 1024
_RATIO_LIMIT = 200


def check_name(name: str) -> None:
    """Raises: Refused where a member would be written outside the directory that the archive is unpacked into."""
    parts = name.replace("\\", "/").split("/")
    if "\0" in name or not name:
        raise Refused(f"it holds a member with an impossible name: {name[:80]!r}")
    if not parts[0] or parts[0].endswith(":"):
        raise Refused(f"it holds a member with an absolute name: {name[:80]!r}")
    if ".." in parts:
        raise Refused(f"it holds a member that leads out of its directory: {name[:80]!r}")


def check_target(target: str, directory: str) -> None:
    """Check where a link points to; directory: the one that the target is relative to.

    Raises: Refused where that is outside the archive.
    """
    depth = 0
    steps = [*directory.split("/"), *target.replace("\\", "/").split("/")]
    if target.startswith(("/", "\\")) or target[1:2] == ":" or "\0" in target:
        raise Refused(f"it holds a link with an absolute target: {target[:80]!r}")
    for step in steps:
        if step == "..":
            depth -= 1
        elif step not in ("", "."):
            depth += 1
        if depth < 0:
            raise Refused(f"it holds a link that leads out of its directory: {target[:80]!r}")


def check_unpacked(unpacked: int, packed: int) -> None:
    """Raises: Refused where so many bytes out of so few are a decompression bomb."""
    if unpacked > _UNPACKED_LIMIT:
        raise Refused(f"it unpacks to more than {_UNPACKED_LIMIT} bytes")
    if unpacked > _HARMLESS and unpacked > packed * _RATIO_LIMIT:
        raise Refused(f"it is a decompression bomb: {packed} bytes unpack to {unpacked} or more")


def check_count(members: int) -> None:
    """Raises: Refused where there are too many members."""
    if members > MEMBERS_LIMIT:
        raise Refused(f"it has more than {MEMBERS_LIMIT} members")
