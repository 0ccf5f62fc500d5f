"""Sort keys that the versions of several package systems share: for numbers of any length and for epochs."""

import re

NumberKey = tuple[int, str]
"""Sort key of a number: its number of digits, then the digits."""

ZERO: NumberKey = (0, "")

_EPOCH = re.compile(r"([0-9]+):")


def number_key(digits: str) -> NumberKey:
    """Return the sort key of a number of any length; int() rejects very long ones."""
    digits = digits.lstrip("0")
    return (len(digits), digits)


def split_epoch(version: str) -> tuple[NumberKey, str]:
    """Split `[epoch:]rest` into the sort key of the epoch and the rest; a missing epoch is 0."""
    match = _EPOCH.match(version)
    return (number_key(match[1]), version[match.end() :]) if match else (ZERO, version)
