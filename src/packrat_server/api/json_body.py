"""Parses JSON from outside within bounds, so that a small body can't become much memory or time.

Takes: bytes.
Gives: JSON values, or a ValueError.
Touches: nothing.

Python's own parser makes 64 bytes and more of two: eight megabytes of `[],[],…` are 200 megabytes of lists, and nobody
else is answered meanwhile. So the text is looked through first. What it counts, in text that is no string:

- depth: arrays and objects that are open at the same time;
- values: `[`, `{` and `,`, which in valid JSON come before every value but the first.

Source: RFC 8259.
"""

import json
import re
from typing import Any

DEPTH_LIMIT = 20
"""No call of this API needs more than 2."""
VALUES_LIMIT = 200_000
"""A filter may name that many packages."""

# Possessive, so that text without an end is looked through once only. A string has no part that is looked at.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{\]},]', re.DOTALL)


def parse_json(body: bytes) -> Any:
    """Parse a JSON text.

    Raises: ValueError where it is none, or is beyond the limits.
    """
    # As json.loads would: the bytes of another encoding than UTF-8 may look like brackets and quotes without being any.
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    if not _is_plain(text):
        _check_bounds(text)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"more than {DEPTH_LIMIT} arrays and objects in one another") from None


def _is_plain(text: str) -> bool:
    """Whether it is within the limits even if no bracket and comma stands in a string: most are."""
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
            raise ValueError(f"more than {DEPTH_LIMIT} arrays and objects in one another")
        # Of keys and values there can be two strings a value; more are no JSON, nor worth looking on.
        if values > VALUES_LIMIT or strings > 2 * VALUES_LIMIT:
            raise ValueError(f"more than {VALUES_LIMIT} values")
        if depth < 0:
            # No JSON; the parser says where.
            return
