"""Reads how long a busy server asks its clients to wait.

Source: RFC 9110, 10.2.3 (Retry-After) and 5.6.7 (dates).
"""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 300.0
"""No server keeps an agent waiting for longer."""
_SHORTEST_WAIT_S = 1.0
_DAY_NAME = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? ")


def read_retry_after(value: str | None, date: str | None, now: float) -> float | None:
    """Read Retry-After, as seconds or as a date.

    Args:
        value: the header Retry-After.
        date: the header Date of the same answer: the server's clock may differ from ours.
        now: our own clock, in epoch seconds, for an answer without a usable Date.

    Returns:
        1 to LONGEST_WAIT_S seconds, or None where it is not usable, or names a time in the past.
    """
    text = (value or "").strip(" \t")
    if text.isascii() and text.isdigit():
        # Numbers beyond this length are all the same: too long.
        wait_s = float(text) if len(text) <= 12 else LONGEST_WAIT_S
    else:
        until = _read_date(text)
        if until is None:
            return None
        sent = _read_date((date or "").strip(" \t"))
        wait_s = until - (now if sent is None else sent)
        if wait_s <= 0:
            return None
    return min(max(wait_s, _SHORTEST_WAIT_S), LONGEST_WAIT_S)


def _read_date(text: str) -> float | None:
    if len(text) > 60 or not _DAY_NAME.match(text):
        return None
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
