"""The words for how far a wanted file has come; apart from the tables, for those who only read or count them."""

from enum import StrEnum


class FileState(StrEnum):
    """How far a wanted file has come. The state database has these words.

    WANTED: not in the index yet, and to be downloaded (again). LIVE: verified, in place and named by the index.
    REFUSED: left out of the index for a reason.
    """

    WANTED = "wanted"
    LIVE = "live"
    REFUSED = "refused"
