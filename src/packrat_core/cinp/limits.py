"""Parses JSON from a server that is not trusted, in bounded memory."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of an answer: bytes, values (its commas), lists and objects (their brackets).

    A short value of two bytes becomes 60 and more in memory, an empty list 56: bytes alone would bound nothing. Text
    beyond ASCII can take four times its bytes, so less of that is accepted.
    """

    size: int
    values: int
    containers: int
    wide_size: int = 4 * 1024 * 1024


RECORDS = Bounds(2 * 1024 * 1024, 60_000, 12_000)
"""Limit for an answer with a hundred records."""
LISTING = Bounds(24 * 1024 * 1024, 600_000, 20_000)
"""Limit for an answer with URIs or names, half a million of them."""


class TooMuch(ValueError):
    """An answer is beyond its bounds; the text says which."""


def parse_json(data: bytearray, bounds: Bounds) -> Any:
    """Parse UTF-8; `data` is emptied on the way.

    Raises:
        TooMuch: It is beyond the bounds; nothing was parsed.
        ValueError: It is not JSON.
        RecursionError: It is nested too deep.
    """
    if len(data) > bounds.size:
        raise TooMuch(f"more than {bounds.size} bytes")
    if len(data) > bounds.wide_size and (not data.isascii() or b"\\u" in data):
        raise TooMuch(f"more than {bounds.wide_size} bytes that are not all ASCII")
    if data.count(b",") > bounds.values:
        raise TooMuch(f"more than {bounds.values} values")
    if data.count(b"[") + data.count(b"{") > bounds.containers:
        raise TooMuch(f"more than {bounds.containers} lists and objects")
    text = data.decode()
    data.clear()
    return json.loads(text)
