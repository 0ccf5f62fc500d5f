"""Parses JSON from outside within limits, so that a small body can't become much memory or time.

Python's parser makes 64 bytes and more of every two: eight megabytes of `[],[],…` become 200 megabytes of lists, and no
other request is answered while it is parsed. So the text is scanned first, and what is outside strings is counted:

1. Depth: arrays and objects that are open at the same time, at most DEPTH_LIMIT.
2. Values: `[`, `{` and `,`, which in valid JSON come before every value but the first, at most VALUES_LIMIT.

Source: RFC 8259.
"""

import json
import re
from typing import Any

DEPTH_LIMIT = 20
"""Arrays and objects in one another; no call of this API needs more than 2."""
VALUES_LIMIT = 200_000
"""Values in one body; a filter may name that many packages."""

# Possessive quantifiers (*+), so that a string without an end is scanned once only.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{\]},]', re.DOTALL)


def parse_json(body: bytes | bytearray) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: It is not JSON, or exceeds a limit.
    """
    # Decode as json.loads does: in UTF-16 and UTF-32, a byte that looks like a quote may be part of another character.
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    if not _is_plain(text):
        _check_bounds(text)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"more than {DEPTH_LIMIT} nested arrays and objects") from None


def _is_plain(text: str) -> bool:
    """Tell whether a text keeps the limits even if brackets and commas in strings count; most texts do."""
    opened = text.count("[") + text.count("{")
    return opened <= DEPTH_LIMIT and opened + text.count(",") <= VALUES_LIMIT


def _check_bounds(text: str) -> None:
    depth = values = strings = 0
    for token in _TOKEN.finditer(text):
        match text[token.start()]:
            case "[" | "{":
                depth += 1
                values += 1
            case "]" | "}":
                depth -= 1
            case ",":
                values += 1
            case _:
                strings += 1
        if depth > DEPTH_LIMIT:
            raise ValueError(f"more than {DEPTH_LIMIT} nested arrays and objects")
        # Valid JSON has two strings a value at most, a key and a text; with more there is an error anyway.
        if values > VALUES_LIMIT or strings > 2 * VALUES_LIMIT:
            raise ValueError(f"more than {VALUES_LIMIT} values")
        if depth < 0:
            # Not JSON; the parser says where.
            return
