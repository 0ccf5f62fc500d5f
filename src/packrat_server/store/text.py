"""Tells which text a database can store, and writes what it stores as text."""

from datetime import UTC, datetime


def is_storable(text: str) -> bool:
    """Whether a text has no NUL, which PostgreSQL refuses, and no half character, which is not valid UTF-8."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def write_moment(value: datetime | None, timespec: str = "microseconds") -> str | None:
    """Write a moment in ISO 8601, as precisely as timespec says: `microseconds` in the API, `seconds` for people."""
    # SQLite keeps no time zone; all that is written is UTC.
    return None if value is None else value.replace(tzinfo=UTC).isoformat(timespec=timespec)
