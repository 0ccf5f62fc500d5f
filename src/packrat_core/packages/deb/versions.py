"""Sorts versions of Debian packages as dpkg does.

    version_key("1.0~rc1") < version_key("1.0") < version_key("1.0-1") < version_key("1:0.5")

Source: deb-version(7).
"""

import re
from functools import lru_cache
from typing import Any

from packrat_core.packages.version_numbers import ZERO, number_key, split_epoch

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
_END = ((0,), ZERO)
_KEPT_LENGTH = 32
"""The keys of longer parts are not kept: they are rare, and many of them would take much memory."""


def version_key(version: str) -> Any:
    """Return the sort key of a version, `[epoch:]upstream[-revision]`."""
    epoch, rest = split_epoch(version)
    upstream, revision = rest.rpartition("-")[::2] if "-" in rest else (rest, "")
    return epoch, _part_key(upstream), _part_key(revision)


def _part_key(part: str) -> tuple[Any, ...]:
    return _kept_part_key(part) if len(part) <= _KEPT_LENGTH else _make_part_key(part, _pair_key)


def _make_part_key(part: str, pair_key: Any) -> tuple[Any, ...]:
    """Return the sort key of an upstream version or revision: texts and numbers in turn, then the end."""
    key: list[Any] = [pair_key(text, digits) for text, digits in _PARTS.findall(part)]
    while key and key[-1] == _END:
        key.pop()
    # The end counts twice, because in a longer version such as `0~` the first pair may look like an end as well.
    return (*key, _END, _END)


def _pair_key(text: str, digits: str) -> tuple[Any, ...]:
    return (*map(_weight, text), 0), number_key(digits)


# The same revisions, and the same texts with a number, stand in very many versions.
_kept_pair_key = lru_cache(maxsize=4096)(_pair_key)


@lru_cache(maxsize=2048)
def _kept_part_key(part: str) -> tuple[Any, ...]:
    return _make_part_key(part, _kept_pair_key)


def _weight(character: str) -> int:
    """Weigh a character: tilde sorts before the end, the end before letters, letters before everything else."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 0x110000
