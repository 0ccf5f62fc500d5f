"""Tells which text a database can store, and writes what it stores as text."""

from collections.abc import Sequence
from datetime import UTC, datetime

NAMES_SHOWN = 30
"""Number of names that a message lists at most."""


def is_storable(text: str) -> bool:
    """Whether a text has no NUL, which PostgreSQL refuses, and no half character, which is not valid UTF-8."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def write_moment(value: datetime | None, timespec: str = "microseconds") -> str | None:
    """Write a moment in ISO 8601, as precisely as timespec says: `microseconds` in the API, `seconds` for people."""
    # SQLite keeps no time zone; all that is written is UTC.
    return None if value is None else value.replace(tzinfo=UTC).isoformat(timespec=timespec)


def join_names(names: Sequence[str]) -> str:
    """Write names for a message, the first ones of many."""
    more = ", …" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
