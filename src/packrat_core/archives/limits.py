"""How many members an archive may have, and how much larger than itself it may become.

Takes: counts and sizes as they stand in an archive.
Gives: nothing; Refused where a limit is exceeded.
Touches: nothing.
"""

from packrat_core.errors import Refused

MEMBERS_LIMIT = 200_000

_UNPACKED_LIMIT = 16 * 1024**3
_HARMLESS = 256 * 1024 * 1024
"""Up to this many bytes any ratio is accepted: text and zeros compress well."""
_RATIO_LIMIT = 200


def check_unpacked(unpacked: int, packed: int) -> None:
    """Raises: Refused where so many bytes out of so few are a decompression bomb."""
    if unpacked > _UNPACKED_LIMIT:
        raise Refused(f"it unpacks to more than {_UNPACKED_LIMIT} bytes")
    if unpacked > _HARMLESS and unpacked > packed * _RATIO_LIMIT:
        raise Refused(f"it is a decompression bomb: {packed} bytes unpack to {unpacked} or more")


def check_count(members: int, limit: int = MEMBERS_LIMIT) -> None:
    """Raises: Refused where there are too many members."""
    if members > limit:
        raise Refused(f"it has more than {limit} members")
