"""Sorts versions of Debian packages as dpkg does.

    version_key("1.0~rc1") < version_key("1.0") < version_key("1.0-1") < version_key("1:0.5")

Source: deb-version(7).
"""

import re
from typing import Any

from packrat_core.packages.version_numbers import ZERO, number_key, split_epoch

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
_END = ([0], ZERO)


def version_key(version: str) -> Any:
    """Return the sort key of a version, `[epoch:]upstream[-revision]`."""
    epoch, rest = split_epoch(version)
    upstream, revision = rest.rpartition("-")[::2] if "-" in rest else (rest, "")
    return epoch, _part_key(upstream), _part_key(revision)


def _part_key(part: str) -> list[Any]:
    """Return the sort key of an upstream version or revision: texts and numbers in turn, then the end."""
    key: list[Any] = [([*map(_weight, text), 0], number_key(digits)) for text, digits in _PARTS.findall(part)]
    while key and key[-1] == _END:
        key.pop()
    # The end counts twice, because in a longer version such as `0~` the first pair may look like an end as well.
    return [*key, _END, _END]


def _weight(character: str) -> int:
    """Weigh a character: tilde sorts before the end, the end before letters, letters before everything else."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 0x110000
