"""Reads the date that a server, or what stands in front of it, sends with an answer, and compares the clocks."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_WHOLE_SECONDS_S = 1.0


def read_date(headers: Mapping[str, str]) -> datetime | None:
    """Read the date of an answer; None if it has none."""
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError, OverflowError, IndexError):
        # Whatever it makes of text that is not a date.
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def measure_ahead(sent: float, received: float, date: datetime | None) -> float | None:
    """Measure by how many seconds this host's clock is surely ahead of the server's; less than 0: behind.

    However long the answer took, a date between `sent` and `received` agrees with this clock.

    Args:
        sent: When the request was sent; epoch seconds.
        received: When the head of the answer came.
        date: The date of the answer; None: nothing is known.
    """
    if date is None:
        return None
    at = date.timestamp()
    # The header has whole seconds, rounded down.
    return max(0.0, sent - at - _WHOLE_SECONDS_S) or min(0.0, received - at)
