"""Tells which text a database can store, and writes what it stores as text."""

from collections.abc import Sequence
from datetime import UTC, datetime

NAMES_SHOWN = 30
"""Number of names that a message lists at most."""
REASON_LIMIT = 1000
"""Number of characters that the reason of a change may have."""


def is_storable(text: str) -> bool:
    """Whether a text has no NUL, which PostgreSQL refuses, and no half character, which is not valid UTF-8."""
    # Nearly all texts are ASCII, and to know that takes no time.
    return "\0" not in text and (text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text))


def write_moment(value: datetime | None, timespec: str = "microseconds") -> str | None:
    """Write a moment in ISO 8601, as precisely as timespec says: `microseconds` in the API, `seconds` for people."""
    if value is None:
        return None
    # SQLite keeps no time zone; all that is written is UTC. The longer way gives the same in three times the time, and
    # a mirror reads many thousands of moments.
    if value.tzinfo is None:
        return value.isoformat("T", timespec) + "+00:00"
    return value.replace(tzinfo=UTC).isoformat(timespec=timespec)


def join_names(names: Sequence[str]) -> str:
    """Write names for a message, the first ones of many."""
    more = ", …" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
