"""Limits an archive's members, unpacked size, and unpacking time; each check raises Refused beyond its limit."""

from packrat_core.errors import Refused

MEMBERS_LIMIT = 200_000

_UNPACKED_LIMIT = 16 * 1024**3
_HARMLESS = 256 * 1024 * 1024
"""Unpacked size in bytes up to which any compression ratio is accepted: text and zeros compress well."""
_RATIO_LIMIT = 200
_CPU_S = 30.0
_CPU_S_PER_BYTE = 2.0 / (1024 * 1024)
"""The slowest compression takes a tenth of that on today's machines."""


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
