"""Tells from the version of a package which release of a distribution it is built for, and where it may go.

1. A version names a release by a word such as `el9` in `1.0-3.el9_2`. It does not name `el9` in `1.0-3.el90`.
2. A package that names a release goes to the distribution versions that have this release name, and to no other: not to
   all of its type where none has the name.
3. A package that names none goes to all distribution versions of its type.

Usage:

    options("1.0-3.fc41", "rpm", {"rhel9": ("el9", "centos9"), "fedora41": ("fc41",)})  # ["fedora41"]
"""

import re
from collections.abc import Iterable, Mapping, Sequence

_WORDS: Mapping[str, tuple[str, ...]] = {
    "fedora": ("fc",),
    "rhel": ("el", "centos"),
    "centos": ("el", "centos"),
    "almalinux": ("el",),
    "rocky": ("el",),
    "oracle": ("ol", "el"),
    "ol": ("ol", "el"),
    "sles": ("sles", "sle"),
    "sle": ("sles", "sle"),
    "amazon": ("amzn",),
    "amzn": ("amzn",),
    "mageia": ("mga",),
    "azurelinux": ("azl",),
    "openeuler": ("oe",),
    "opensuse-leap": ("lp",),
    "opensuse": ("lp",),
    "leap": ("lp",),
}
"""Distribution of rpms → the words before the number in its release names."""
_RPM_WORDS = frozenset(word for words in _WORDS.values() for word in words) | {"rhel", "suse", "bp", "mdv", "cm"}
_NUMBERED = re.compile(r"(?<![0-9A-Za-z])(?P<word>[A-Za-z]+)(?P<number>[0-9]+)(?![0-9A-Za-z])")
_LEAP_MINORS = 10


def options(version: str, kind: str, release_names: Mapping[str, Sequence[str]]) -> list[str]:
    """List the distribution versions that a package may go to.

    Args:
        version: The version of the package.
        kind: Its type: `rpm`.
        release_names: The distribution versions of its type, in their order → their release names.
    """
    named = [name for name, words in release_names.items() if any(_is_named(version, kind, word) for word in words)]
    if named or find_release(version, kind, (word for words in release_names.values() for word in words)) is not None:
        return named
    return list(release_names)


def find_release(version: str, kind: str, known: Iterable[str]) -> str | None:
    """Find the release that the version of an rpm names; None where it names none.

    Args:
        version: The version of the package.
        kind: Its type; packages of other types don't say for certain which release they are for.
        known: All release names of the server: if it has `xyz1`, `xyz2` counts as a release, too.
    """
    if kind != "rpm":
        return None
    words = {match["word"] for match in map(_NUMBERED.fullmatch, known) if match is not None} | _RPM_WORDS
    # In `1.0-3.fc41` it is the release, after the dash, that names the distribution.
    for match in _NUMBERED.finditer(version.partition("-")[2].replace("_", "-")):
        if match["word"] in words:
            return match[0]
    return None


def release_names_of(kind: str, name: str, distro: str, version: str) -> tuple[str, ...]:
    """Give the release names that packages of a distribution usually have.

    Args:
        kind: The type of its files.
        name: The name of the distribution version: `bookworm`.
        distro: The distribution: `fedora`.
        version: The version of the distribution: `41`; '' where it has none.
    """
    if kind == "deb":
        return (name,)
    if kind != "rpm" or not version:
        return ()
    number = version.replace(".", "")
    words = _WORDS.get(distro, ())
    if words == ("lp",) and "." not in version:
        # openSUSE Leap 15.5 writes `lp155`; `opensuse-leap15` takes every 15.
        return tuple(f"lp{number}{minor}" for minor in range(_LEAP_MINORS))
    return tuple(f"{word}{number}" for word in words)


def _is_named(version: str, kind: str, name: str) -> bool:
    """Whether a version holds a release name as a word of its own."""
    before = r"(?<![0-9A-Za-z])" if kind == "rpm" else r"(?<![0-9A-Za-z.])"
    # A dot before `el` is one of an rpm's release; other types may have it, too.
    return re.search(rf"{before}{re.escape(name)}(?![0-9])", version.replace(".el", "-el")) is not None
