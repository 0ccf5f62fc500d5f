"""Picks the newest version, in the order of each package system.

Takes: versions as text.
Gives: sort keys.
Touches: nothing.

Source: deb-version(7), rpm-version(7), PEP 440.
"""

import re
from collections.abc import Callable, Iterable
from functools import cmp_to_key
from itertools import zip_longest
from typing import Any, TypeVar

T = TypeVar("T")

_NOUGHT = (0, "")

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
_RPM_PARTS = re.compile(r"[0-9]+|[A-Za-z]+|~|\^")
_PEP440 = re.compile(
    r"v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)"
    r"(?:[._-]?(?P<pre>a|b|c|rc|alpha|beta|pre|preview)[._-]?(?P<pre_n>[0-9]*))?"
    r"(?P<post>(?:-[0-9]+)|(?:[._-]?(?:post|rev|r)[._-]?[0-9]*))?"
    r"(?:[._-]?dev[._-]?(?P<dev>[0-9]*))?(?:\+(?P<local>[a-z0-9]+(?:[._-][a-z0-9]+)*))?",
    re.IGNORECASE,
)
_PRE = {"a": 0, "alpha": 0, "b": 1, "beta": 1}


def pick_latest(items: Iterable[T], group: Callable[[T], Any], kind_version: Callable[[T], tuple[str, str]]) -> list[T]:
    """Keep the newest of each group, in the given order; of Python all files of the newest version."""
    best: dict[Any, list[T]] = {}
    listed = list(items)
    for item in listed:
        kind, version = kind_version(item)
        newest = best.setdefault(group(item), [item])
        key, best_key = version_key(kind, version), version_key(*kind_version(newest[0]))
        if key > best_key:
            newest[:] = [item]
        elif kind == "python" and key == best_key and newest[0] is not item:
            newest.append(item)
    chosen = {id(item) for items in best.values() for item in items}
    return [item for item in listed if id(item) in chosen]


def version_key(kind: str, version: str) -> Any:
    """Give what sorts versions of a package type from old to new."""
    if kind == "rpm":
        return cmp_to_key(compare_rpm)(version)
    if kind == "python":
        match = _PEP440.fullmatch(version.strip())
        return (1, _pep440_key(match)) if match else (0, version)
    return cmp_to_key(compare_deb)(version)


def compare_deb(one: str, other: str) -> int:
    """Order two Debian versions: negative where `one` is older."""
    (epoch_1, rest_1), (epoch_2, rest_2) = _split_epoch(one), _split_epoch(other)
    if epoch_1 != epoch_2:
        return -1 if epoch_1 < epoch_2 else 1
    split = [v.rpartition("-") if "-" in v else (v, "", "") for v in (rest_1, rest_2)]
    return _compare_deb_part(split[0][0], split[1][0]) or _compare_deb_part(split[0][2], split[1][2])


def _split_epoch(version: str) -> tuple[tuple[int, str], str]:
    match = re.match(r"([0-9]+):", version)
    return (_number(match[1]), version[match.end() :]) if match else (_number(""), version)


def _number(digits: str) -> tuple[int, str]:
    """Give what sorts numbers of any length; int() refuses very long ones."""
    digits = digits.lstrip("0")
    return (len(digits), digits)


def _compare_deb_part(one: str, other: str) -> int:
    for (text_1, digits_1), (text_2, digits_2) in zip_longest(
        _PARTS.findall(one), _PARTS.findall(other), fillvalue=("", "")
    ):
        weights = [[*(_weight(c) for c in text), 0] for text in (text_1, text_2)]
        if weights[0] != weights[1]:
            return -1 if weights[0] < weights[1] else 1
        if _number(digits_1) != _number(digits_2):
            return -1 if _number(digits_1) < _number(digits_2) else 1
    return 0


def _weight(character: str) -> int:
    """Tilde before the end, the end before letters, letters before everything else."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 0x110000


def compare_rpm(one: str, other: str) -> int:
    """Order two rpm versions `[epoch:]version-release`."""
    (epoch_1, rest_1), (epoch_2, rest_2) = _split_epoch(one), _split_epoch(other)
    if epoch_1 != epoch_2:
        return -1 if epoch_1 < epoch_2 else 1
    split = [v.partition("-") for v in (rest_1, rest_2)]
    return _compare_rpm_part(split[0][0], split[1][0]) or _compare_rpm_part(split[0][2], split[1][2])


def _compare_rpm_part(one: str, other: str) -> int:
    for part_1, part_2 in zip_longest(_RPM_PARTS.findall(one), _RPM_PARTS.findall(other)):
        if part_1 == part_2:
            continue
        ranks = [_rpm_rank(part) for part in (part_1, part_2)]
        if ranks[0] != ranks[1]:
            return -1 if ranks[0] < ranks[1] else 1
    return 0


def _rpm_rank(part: str | None) -> tuple[int, tuple[int, str]]:
    """Tilde, then the end, then caret, then letters, then numbers."""
    if part is None:
        return (1, (0, ""))
    if part in "~^":
        return (0 if part == "~" else 2, (0, ""))
    return (4, _number(part)) if part.isdigit() else (3, (0, part))


def _pep440_key(match: re.Match[str]) -> Any:
    release = [_number(n) for n in match["release"].split(".")]
    while release and release[-1] == _NOUGHT:
        release.pop()
    developing, post = match["dev"] is not None, match["post"]
    pre: tuple[int, tuple[int, str]] = (3, _NOUGHT)
    if match["pre"]:
        pre = (_PRE.get(match["pre"].lower(), 2), _number(match["pre_n"] or ""))
    elif developing and post is None:
        pre = (-1, _NOUGHT)
    post_n = (0, _NOUGHT) if post is None else (1, _number(re.sub(r"[^0-9]", "", post)))
    dev_n = (0, _number(match["dev"] or "")) if developing else (1, _NOUGHT)
    local = [
        (1, _number(p)) if p.isdigit() else (0, (0, p.lower())) for p in re.split(r"[._-]", match["local"] or "") if p
    ]
    return (_number(match["epoch"] or ""), release, pre, post_n, dev_n, local)
