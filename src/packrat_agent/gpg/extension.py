"""Writes the gpg commands that extend a key: a signing subkey has an expiry date of its own."""

from collections.abc import Mapping
from datetime import datetime, timedelta

_TOGETHER = timedelta(days=30)
"""What expires this soon after the part that expires first is extended with it."""


def write_extension(primary: str, ends: Mapping[str, datetime | None]) -> str:
    """Write the commands for the parts of a key that expire first; '' if none expires.

    Args:
        primary: The fingerprint of the primary key.
        ends: Fingerprint → when that part expires, of the primary key and the part that signs.
    """
    moments = [end for end in ends.values() if end is not None]
    due = [part for part, end in ends.items() if end is not None and end <= min(moments) + _TOGETHER]
    return " and ".join(write_command(primary, part) for part in due)


def write_command(primary: str, part: str) -> str:
    """Write the command that extends one part of a key; gpg takes no subkey for the primary key."""
    return f"`gpg --quick-set-expire {primary} 2y{'' if part == primary else f' {part}'}`"
