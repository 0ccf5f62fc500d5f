"""Limits an archive's members, names, unpacked size, and unpacking time; each check raises Refused beyond its limit."""

from packrat_core.errors import Refused

MEMBERS_LIMIT = 200_000
NAME_LIMIT = 4096
"""Characters of a member's name or a link's target: the longest path that Linux opens."""

_UNPACKED_LIMIT = 16 * 1024**3
_HARMLESS = 256 * 1024 * 1024
"""Unpacked size in bytes up to which any compression ratio is accepted: text and zeros compress well."""
_RATIO_LIMIT = 200
_CPU_S = 30.0
_CPU_S_PER_BYTE = 2.0 / (1024 * 1024)
"""The slowest compression takes a tenth of that on today's machines."""
_DIRECTORY_NAMES_BYTES = 128 * 1024 * 1024
_NAME_OVERHEAD_BYTES = 100


class DirectoryNames:
    """Bounds the memory and time that the names of the directories in an archive take.

    A member with a name of 4,096 characters may have 2,048 directories above it, whose names come to 4 MB.
    """

    def __init__(self) -> None:
        self._left = _DIRECTORY_NAMES_BYTES

    def count(self, name: str) -> None:
        """Count a name that is looked at.

        Raises:
            Refused: All names together are too long.
        """
        self._left -= (len(name) if name.isascii() else 4 * len(name)) + _NAME_OVERHEAD_BYTES
        if self._left < 0:
            raise Refused("its directories are nested too deeply")


def check_unpacked(unpacked: int, packed: int) -> None:
    """Refuse a decompression bomb.

    Args:
        unpacked: Number of bytes decompressed so far, or declared.
        packed: Number of compressed bytes that they come from.

    Raises:
        Refused: There are too many unpacked bytes, in total or for the compressed size.
    """
    if unpacked > _UNPACKED_LIMIT:
        raise Refused(f"it unpacks to more than {_UNPACKED_LIMIT} bytes")
    if unpacked > _HARMLESS and unpacked > packed * _RATIO_LIMIT:
        raise Refused(f"it is a decompression bomb: {packed} bytes unpack to {unpacked} or more")


def check_time(cpu_s: float, packed: int) -> None:
    """Refuse a file that keeps a processor busy for long, however few bytes come of it.

    Args:
        cpu_s: Seconds of processor time that were spent on it so far.
        packed: Number of compressed bytes that were read for that.

    Raises:
        Refused: It takes too long.
    """
    if cpu_s > _CPU_S + packed * _CPU_S_PER_BYTE:
        raise Refused(f"it takes too long to unpack: {cpu_s:.0f} s for {packed} bytes")


def check_count(members: int, limit: int = MEMBERS_LIMIT) -> None:
    """Check the number of members.

    Raises:
        Refused: There are more than `limit`.
    """
    if members > limit:
        raise Refused(f"it has more than {limit} members")
