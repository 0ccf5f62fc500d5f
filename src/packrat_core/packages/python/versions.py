"""Sorts versions of Python distributions as pip does; texts that are not versions by PEP 440 come before all others.

    version_key("nightly") < version_key("1.0.dev1") < version_key("1.0rc1") < version_key("1.0")
    version_key("1.0") == version_key("1.0.0")

Source: PEP 440.
"""

import re
from dataclasses import dataclass
from typing import Any

from packrat_core.packages.version_numbers import ZERO, NumberKey, number_key

_PEP440 = re.compile(
    r"v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)"
    r"(?:[._-]?(?P<pre>a|b|c|rc|alpha|beta|pre|preview)[._-]?(?P<pre_n>[0-9]*))?"
    r"(?P<post>(?:-[0-9]+)|(?:[._-]?(?:post|rev|r)[._-]?[0-9]*))?"
    r"(?:[._-]?dev[._-]?(?P<dev>[0-9]*))?(?:\+(?P<local>[a-z0-9]+(?:[._-][a-z0-9]+)*))?",
    re.IGNORECASE,
)
_PRE = {"a": 0, "alpha": 0, "b": 1, "beta": 1}


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
    match = _PEP440.fullmatch(version.strip())
    if match is None:
        return None
    # 1.0 and 1.0.0 are the same version, so trailing zeros do not count.
    release = [number_key(n) for n in match["release"].split(".")]
    while release and release[-1] == ZERO:
        release.pop()
    # Final releases come behind all pre-releases (0 to 2).
    is_dev, post = match["dev"] is not None, match["post"]
    pre: tuple[int, NumberKey] = (3, ZERO)
    if match["pre"]:
        pre = (_PRE.get(match["pre"].lower(), 2), number_key(match["pre_n"] or ""))
    elif is_dev and post is None:
        # `1.0.dev1` comes before `1.0a1`, `1.0.post1.dev1` after `1.0`.
        pre = (-1, ZERO)
    post_key = (0, ZERO) if post is None else (1, number_key(re.sub(r"[^0-9]", "", post)))
    dev_key = (0, number_key(match["dev"] or "")) if is_dev else (1, ZERO)
    local = [
        (1, number_key(part)) if part.isdigit() else (0, (0, part.lower()))
        for part in re.split(r"[._-]", match["local"] or "")
        if part
    ]
    public = (number_key(match["epoch"] or ""), release, pre, post_key, dev_key)
    return ParsedVersion(public, local, match["pre"] is not None or is_dev)
