"""Sorts versions of rpms as rpm does.

    version_key("1.0~rc1-1") < version_key("1.0-1") < version_key("1.0^git1-1") < version_key("1:0.5-1")

Source: rpm-version(7).
"""

import re
from typing import Any

from packrat_core.packages.version_numbers import ZERO, NumberKey, number_key, split_epoch

_PARTS = re.compile(r"[0-9]+|[A-Za-z]+|~|\^")
_TILDE, _END, _CARET, _LETTERS, _NUMBER = range(5)
_MARKS = {"~": _TILDE, "^": _CARET}


def version_key(version: str) -> Any:
    """Return the sort key of a version, `[epoch:]version-release`."""
    epoch, rest = split_epoch(version)
    version, _, release = rest.partition("-")
    return epoch, _part_key(version), _part_key(release)


def _part_key(part: str) -> list[tuple[int, NumberKey]]:
    """Return the sort key of a version or release: tilde sorts first, then the end, caret, letters, numbers."""
    key = [
        (_NUMBER, number_key(text)) if text.isdigit() else (_MARKS.get(text, _LETTERS), (0, text))
        for text in _PARTS.findall(part)
    ]
    return [*key, (_END, ZERO)]
