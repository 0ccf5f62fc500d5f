"""Writes the words of a systemd unit."""

import re

_PLAIN = re.compile(r"[\w@%+=:,./$-]+", re.ASCII)


def quote_word(word: str) -> str:
    """Write one word as systemd reads it: a space ends it, a percent sign begins a specifier.

    Source: systemd.syntax(7), "Quoting"; systemd.unit(5), "Specifiers".
    """
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if _PLAIN.fullmatch(escaped) else f'"{escaped}"'
