"""Picks the newest version, in the order of each package system.

Takes: versions as text.
Gives: sort keys; the files that a repository with the newest versions only offers.
Touches: nothing.

Source: deb-version(7), rpm-version(7), PEP 440.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from packrat_core.packages.image.tags import BEFORE_RELEASE, read_version

T = TypeVar("T")

_NOUGHT = (0, "")
_DEB_END = ([0], _NOUGHT)
_RPM_MARKS = {"~": 0, "^": 2}

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
    """Give what sorts versions of a package type from old to new; an rpm's is `[epoch:]version-release`."""
    if kind == "rpm":
        epoch, rest = _split_epoch(version)
        version, _, release = rest.partition("-")
        return epoch, _rpm_key(version), _rpm_key(release)
    if kind == "python":
        match = _PEP440.fullmatch(version.strip())
        return (1, _pep440_key(match)) if match else (0, version)
    epoch, rest = _split_epoch(version)
    upstream, revision = rest.rpartition("-")[::2] if "-" in rest else (rest, "")
    return epoch, _deb_key(upstream), _deb_key(revision)


def _split_epoch(version: str) -> tuple[tuple[int, str], str]:
    match = re.match(r"([0-9]+):", version)
    return (_number(match[1]), version[match.end() :]) if match else (_NOUGHT, version)


def _number(digits: str) -> tuple[int, str]:
    """Give what sorts numbers of any length; int() refuses very long ones."""
    digits = digits.lstrip("0")
    return (len(digits), digits)


def _deb_key(part: str) -> list[Any]:
    """Sort an upstream version or a revision: texts and numbers in turn, then empty ones."""
    key: list[Any] = [([*map(_weight, text), 0], _number(digits)) for text, digits in _PARTS.findall(part)]
    while key and key[-1] == _DEB_END:
        key.pop()
    # Two, since the first pair of a longer version, `0~`, may be an end as well.
    return [*key, _DEB_END, _DEB_END]


def _weight(character: str) -> int:
    """Tilde before the end, the end before letters, letters before everything else."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 0x110000


def _rpm_key(part: str) -> list[tuple[int, tuple[int, str]]]:
    """Sort a version or a release: tilde, then the end, then caret, then letters, then numbers."""
    key = [
        (4, _number(text)) if text.isdigit() else (_RPM_MARKS.get(text, 3), (0, text))
        for text in _RPM_PARTS.findall(part)
    ]
    return [*key, (1, _NOUGHT)]


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
