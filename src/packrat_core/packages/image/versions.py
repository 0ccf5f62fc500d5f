"""Interprets the tags of an image as versions, sorts them, and finds the one that `latest` stands for.

- `sha256-<hex>.sig`, `.att`, `.sbom` and `sha256-<hex>` belong to the manifest with that digest and are not versions.
- `stable`, `main` and `3f2a9c1` (a commit) are not versions either, as nothing shows which is newer.
- Suffixes such as `1.2-rc1`, `-beta` and `-dev` make pre-releases of 1.2.
- `1.2-alpine` is a variant of 1.2, as new as 1.2 itself.

Source: semver.org, "Precedence"; cosign, "Signature storage"; OCI Distribution Specification 1.1, "Referrers Tag
Schema".
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

BEFORE_RELEASE = ("alpha", "beta", "canary", "dev", "nightly", "pre", "preview", "rc", "snapshot")

_PARTS = re.compile(r"\d+|[A-Za-z]+")
_BELONGS_TO_DIGEST = re.compile(r"sha(256|384|512)-[0-9a-f]{64,128}([._-].*)?")
_COMMIT = re.compile(r"(?=\d*[a-f])[0-9a-f]{7,64}")
_VERSION = re.compile(
    r"(?P<line>(?:[A-Za-z]+[._-])*)"
    r"(?P<version>[vV]?(?P<release>\d+(?:\.\d+)*(?:[_-]\d+(?![0-9A-Za-z.]))*)(?P<rest>.*))"
)
_SHORT_PRE_RELEASE = re.compile(r"[ab]\d")

_KNOWN_TAGS = 16_384
"""Number of tags that are read once: each new tag of an image sorts its tags again."""

Order = tuple[tuple[tuple[int, int, str], ...], str]


@dataclass(frozen=True, slots=True)
class TagVersion:
    """The version that a tag names.

    Attributes:
        line: the text before the version (`release-` in `release-1.2`); versions of different lines can't be compared.
        release: the numbers of the version.
        pre_release: sort key among the pre-releases of one release; None for a release.
    """

    line: str
    release: tuple[int, ...]
    pre_release: tuple[str, int] | None


@lru_cache(_KNOWN_TAGS)
def read_version(tag: str) -> TagVersion | None:
    """Read the version out of a tag; None if the tag is not a version."""
    match = _VERSION.fullmatch(tag)
    if match is None or belongs_to_digest(tag) or _COMMIT.fullmatch(match["version"]):
        return None
    release = tuple(int(number) for number in re.findall(r"\d+", match["release"]))
    return TagVersion(match["line"].lower(), release, _pre_release(match["rest"]))


def belongs_to_digest(tag: str) -> bool:
    """Return whether a tag names a signature, attestation or other artifact, which belongs to a manifest."""
    return tag.startswith("sha") and _BELONGS_TO_DIGEST.fullmatch(tag) is not None


def is_release(tag: str) -> bool:
    """Return whether a tag is a version that comes before all pre-releases and other names as what `latest` is."""
    version = read_version(tag)
    return version is not None and not version.line and version.pre_release is None


def latest_of(tags: Collection[str]) -> str | None:
    """Return the tag that `latest` stands for: the highest release, else the highest pre-release, else the last name.

    None if all tags are of signatures and other artifacts.
    """
    versions = {tag: read_version(tag) for tag in tags if not belongs_to_digest(tag)}

    def rank(tag: str) -> tuple[int, Order]:
        version = versions[tag]
        # Versions with a prefix belong to a line of their own, and can't be compared with the others.
        if version is None or version.line:
            return 0, version_order(tag)
        return (2 if version.pre_release is None else 1), version_order(tag)

    return max(versions, key=rank, default=None)


@lru_cache(_KNOWN_TAGS)
def version_order(tag: str) -> Order:
    """Return the sort key of a tag, from low to high versions.

    Numbers are compared as numbers. Pre-releases such as `1.0-rc1` and `1.0-beta` come before `1.0`; other suffixes
    come after it, and further numbers after these.
    """
    parts = []
    for part in _PARTS.findall(re.sub(r"^[vV](?=\d)", "", tag)):
        if part.isdigit():
            parts.append((3, int(part), ""))
        else:
            parts.append((0 if part.lower() in BEFORE_RELEASE else 2, 0, part.lower()))
    parts.append((1, 0, ""))
    return tuple(parts), tag


def _pre_release(rest: str) -> tuple[str, int] | None:
    """Find a pre-release such as `rc1` after the numbers of a version, also after a variant: `-alpine-rc1`."""
    parts = _PARTS.findall(rest)
    for at, part in enumerate(parts):
        if part.lower() in BEFORE_RELEASE or (at == 0 and _SHORT_PRE_RELEASE.match(rest)):
            number = parts[at + 1] if at + 1 < len(parts) and parts[at + 1].isdigit() else "0"
            return part.lower(), int(number)
    return None
