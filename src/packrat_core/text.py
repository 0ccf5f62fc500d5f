"""Prepares text for people: names and reasons that come from others can't steer a terminal.

Sizes and spans of time are written here, too, so that all commands write them alike.

    count_of(1, "file")        # '1 file'
    printable("evil\\x1b[2J")   # 'evil?[2J'
    quote("two\\nlines")        # '"two\\\\nlines"'
"""

import json
import re
from collections.abc import Sequence

_NAMED = 20
_LOGIN = re.compile(r"(?<=://).*@|^(?!.*://).*@", re.DOTALL)


def printable(text: str, substitute: str = "?") -> str:
    """Replace each character that is not printable, such as an escape, a line break or half a surrogate pair."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else substitute for letter in text)


def quote(text: str) -> str:
    """Write text in double quotes on one printable line, from which it can be read back as JSON."""
    quoted = json.dumps(text, ensure_ascii=False)
    # JSON itself lets some control characters of terminals through.
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in quoted)


def hide_login(url: str) -> str:
    """Write a URL without user and password in it; some proxies take a token as the user, so that is secret, too."""
    # Up to the last @: a password that is not encoded as it should be is hidden as well.
    return _LOGIN.sub("***@", url)


def human_size(size: float) -> str:
    """Write a number of bytes the way people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def count_of(number: int, one: str, many: str = "", *, grouped: bool = False) -> str:
    """Write a number of things, with the singular where it is one: `1 repository`, `2 repositories`.

    Args:
        number: How many there are.
        one: The word for one of them.
        many: The word for several; empty if that is `one` with an s.
        grouped: Write 4,000 in the place of 4000.
    """
    return f"{number:{',' if grouped else ''}} {one if number == 1 else many or one + 's'}"


def name_some(names: Sequence[str], separator: str = ", ") -> str:
    """Name the first of many things, and count the rest: `a, b and 9,998 more`."""
    rest = len(names) - _NAMED
    return separator.join(names[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def human_age(seconds: float) -> str:
    """Write a span of time the way people read it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.1f} s" if seconds < 10 else f"{seconds:.0f} s"
