"""Picks the files with the newest versions, for repositories that offer only those."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from packrat_core.packages.deb.versions import version_key as deb_key
from packrat_core.packages.image.versions import BEFORE_RELEASE, read_version
from packrat_core.packages.python.versions import parse_version
from packrat_core.packages.rpm.versions import version_key as rpm_key

T = TypeVar("T")

_PRE_RELEASE = re.compile(rf"[-._+~]?(?<![A-Za-z])(?=(?:{'|'.join(BEFORE_RELEASE)})(?![A-Za-z]))", re.IGNORECASE)
_FREE = re.compile(r"(?P<line>[A-Za-z._-]*)(?P<version>[0-9].*)", re.DOTALL)


# A tuple, since a repository may need 100,000 of them: a frozen dataclass takes four times as long to make.
class _Rank(NamedTuple):
    """Rank of a version: the line of versions it belongs to, its sort key there, whether it is a pre-release."""

    line: str
    key: Any
    is_pre_release: bool = False


def pick_latest(items: Iterable[T], group: Callable[[T], Any], kind_version: Callable[[T], tuple[str, str]]) -> list[T]:
    """Keep the newest files of each group, in the given order: those that clients would pick from all files.

    Args:
        items: The files.
        group: Returns the group of a file; files of different groups are never versions of each other.
        kind_version: Returns the type and version of a file; an rpm's version includes its epoch.

    Returns:
        The files of the newest release of each group and line, which may be several; those of the newest pre-release,
        if it is newer or there is no release; and those whose version can't be ranked, such as the tags of signatures.
    """
    listed = list(items)
    if len(listed) == 1:
        return listed
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
    """Return the numbers of the files to keep, given number → rank of all files of one group."""
    kept: set[int] = set()
    lines: dict[str, dict[int, _Rank]] = {}
    for number, rank in ranks.items():
        if rank is None:
            # Nothing shows that it is old.
            kept.add(number)
        else:
            lines.setdefault(rank.line, {})[number] = rank
    for line in lines.values():
        newest = max((rank.key for rank in line.values() if not rank.is_pre_release), default=None)
        newest_pre = max((rank.key for rank in line.values() if rank.is_pre_release), default=None)
        if newest is not None and newest_pre is not None and newest_pre < newest:
            # Clients have no use for a pre-release that is older than the newest release.
            newest_pre = None
        for number, rank in line.items():
            wanted = newest_pre if rank.is_pre_release else newest
            if wanted is not None and rank.key == wanted:
                kept.add(number)
    return kept


def _rank(kind: str, version: str) -> _Rank | None:
    """Rank a version; None for text that is not a version, whose file is always kept."""
    match kind:
        case "deb":
            return _Rank("", deb_key(version))
        case "rpm":
            return _Rank("", rpm_key(version))
        case "python":
            return _rank_python(version)
        case "docker":
            tag = read_version(version)
            if tag is None:
                return None
            # `1.2-rc1` < `1.2`: of one version, the release itself ranks above its pre-releases.
            key = (tag.release, tag.pre_release is None, tag.pre_release or ())
            return _Rank(tag.line, key, tag.pre_release is not None)
        case _:
            return _rank_free(version)


def _rank_free(version: str) -> _Rank | None:
    """Rank a free-form version: `1.0-rc1` means what Debian writes as `1.0~rc1`; `prod` is not a version."""
    match = _FREE.fullmatch(version)
    if match is None:
        return None
    line = match["line"].lower()
    plain = _PRE_RELEASE.sub("~", match["version"])
    return _Rank("" if line == "v" else line, deb_key(plain), bool(_PRE_RELEASE.search(match["version"])))


def _rank_python(version: str) -> _Rank:
    parsed = parse_version(version)
    if parsed is None:
        # pip ignores such a version; it ranks lowest, so that it is kept only if there is nothing else.
        return _Rank("", (0, version), True)
    # `1.0+cpu` and `1.0+cu118` are builds of one version: keep both.
    return _Rank("", (1, parsed.public), parsed.is_pre_release)
