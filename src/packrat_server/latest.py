"""Picks the newest version, in the order of each package system.

Takes: versions as text.
Gives: sort keys; the files that a repository with the newest versions only offers.
Touches: nothing.

Source: deb-version(7), rpm-version(7), PEP 440.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import zip_longest
from typing import Any, TypeVar

from packrat_agent.formats.docker.tags import BEFORE_RELEASE, read_version

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
_PRE_RELEASE = re.compile(rf"[-._+~]?(?<![A-Za-z])(?=(?:{'|'.join(BEFORE_RELEASE)})(?![A-Za-z]))", re.IGNORECASE)
_FREE = re.compile(r"(?P<line>[A-Za-z._-]*)(?P<version>[0-9].*)", re.DOTALL)
_PRE = {"a": 0, "alpha": 0, "b": 1, "beta": 1}


@dataclass(frozen=True, slots=True)
class _Rank:
    """Where a version stands: in which line of versions, its sort key there, whether it is a pre-release."""

    line: str
    key: Any
    is_pre_release: bool = False


def pick_latest(items: Iterable[T], group: Callable[[T], Any], kind_version: Callable[[T], tuple[str, str]]) -> list[T]:
    """Keep the newest of each group, in the given order, so that clients get what they would get if all were there.

    Args:
        items: Files.
        group: What tells files apart that are never versions of each other.
        kind_version: The type and version of a file; an rpm's with its epoch.

    Returns:
        The files of the newest release of each group, which may be several; those of the newest pre-release, where
        that is newer or there is no release; and those whose version is none, such as the tags of signatures.
    """
    listed = list(items)
    groups: dict[Any, list[int]] = {}
    for number, item in enumerate(listed):
        groups.setdefault(group(item), []).append(number)
    kept: set[int] = set()
    for numbers in groups.values():
        if len(numbers) == 1:
            kept.update(numbers)
        else:
            ranks = {number: _rank(*kind_version(listed[number])) for number in numbers}
            kept |= _newest(ranks)
    return [item for number, item in enumerate(listed) if number in kept]


def _newest(ranks: Mapping[int, _Rank | None]) -> set[int]:
    kept: set[int] = set()
    lines: dict[str, dict[int, _Rank]] = {}
    for number, rank in ranks.items():
        if rank is None:
            kept.add(number)
        else:
            lines.setdefault(rank.line, {})[number] = rank
    for line in lines.values():
        newest = max((rank.key for rank in line.values() if not rank.is_pre_release), default=None)
        newest_pre = max((rank.key for rank in line.values() if rank.is_pre_release), default=None)
        if newest is not None and newest_pre is not None and newest_pre < newest:
            newest_pre = None
        for number, rank in line.items():
            wanted = newest_pre if rank.is_pre_release else newest
            if wanted is not None and rank.key == wanted:
                kept.add(number)
    return kept


def _rank(kind: str, version: str) -> _Rank | None:
    """Say where a version stands; None for what is no version and is kept whatever else there is."""
    match kind:
        case "deb" | "rpm":
            return _Rank("", version_key(kind, version))
        case "python":
            return _rank_python(version)
        case "docker":
            tag = read_version(version)
            if tag is None:
                return None
            # As in `1.2-rc1` < `1.2`: of one release, no pre-release is the highest.
            key = (tag.release, tag.pre_release is None, tag.pre_release or ())
            return _Rank(tag.line, key, tag.pre_release is not None)
        case _:
            return _rank_free(version)


def _rank_free(version: str) -> _Rank | None:
    """Rank what people call their files: `1.0-rc1` is for them what Debian writes `1.0~rc1`; `prod` is no version."""
    match = _FREE.fullmatch(version)
    if match is None:
        return None
    line = match["line"].lower()
    plain = _PRE_RELEASE.sub("~", match["version"])
    return _Rank("" if line == "v" else line, version_key("", plain), bool(_PRE_RELEASE.search(match["version"])))


def _rank_python(version: str) -> _Rank:
    match = _PEP440.fullmatch(version.strip())
    if match is None:
        # pip does not see it; it counts only where there is nothing else.
        return _Rank("", (0, version), True)
    # `1.0+cpu` and `1.0+cu118` are builds of one version: none hides the other.
    *public, _ = _pep440_key(match)
    return _Rank("", (1, tuple(public)), match["pre"] is not None or match["dev"] is not None)


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
