"""The words for how far a wanted file has come; apart from the tables, for those who only read or count them."""

from enum import IntEnum, StrEnum


class FileState(StrEnum):
    """The stages of a wanted file. The state database has these words.

    WANTED: not in the index yet, and to be downloaded (again). LIVE: verified, in place and named by the index.
    REFUSED: left out of the index for a reason.
    """

    WANTED = "wanted"
    LIVE = "live"
    REFUSED = "refused"


class Unreadable(IntEnum):
    """Whether the bytes of a file are at fault, and when they are read again. The state database has these numbers."""

    NO = 0
    UNTIL_RECORD_CHANGES = 1
    UNTIL_FULL_SYNC = 2
