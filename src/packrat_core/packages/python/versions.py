"""Sorts versions of Python distributions as pip does; texts that are not versions by PEP 440 come before all others.

    version_key("nightly") < version_key("1.0.dev1") < version_key("1.0rc1") < version_key("1.0")
    version_key("1.0") == version_key("1.0.0")

Source: PEP 440, by the library that pip has, too.
"""

from dataclasses import dataclass
from typing import Any

from packaging.version import InvalidVersion, Version

LENGTH_LIMIT = 200
"""Characters of a version; Python refuses to read numbers of some thousand digits."""


@dataclass(frozen=True, slots=True)
class ParsedVersion:
    """A version by PEP 440: the sort keys of its public part and of its local part, which follows a `+`."""

    public: Any
    local: Any
    is_pre_release: bool


def version_key(version: str) -> Any:
    """Return the sort key of a version."""
    parsed = parse_version(version)
    return (0, version) if parsed is None else (1, parsed.public, parsed.local)


def parse_version(version: str) -> ParsedVersion | None:
    """Parse a version; None if it is not one by PEP 440, so that pip ignores it."""
    if len(version) > LENGTH_LIMIT:
        return None
    try:
        parsed = Version(version)
    except InvalidVersion:
        return None
    local = Version(f"0+{parsed.local}") if parsed.local is not None else Version("0")
    return ParsedVersion(Version(parsed.public), local, parsed.is_prerelease)
