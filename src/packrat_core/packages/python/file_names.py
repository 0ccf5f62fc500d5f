"""Reads the names of Python's distribution files, by which clients choose them.

An index has wheels (`.whl`) and source distributions as `.tar.gz` or `.zip`. Tools once wrote other files, which
clients of today pass over or refuse: `check_ending` says what to do about these.

    split_sdist_name("my-pkg-1.0-1.tar.gz", "my-pkg")  # ("my-pkg", Version("1.0.post1"))

Source: Binary distribution format (PEP 427), Source distribution format (PEP 625, 527), PEP 440.
"""

import re

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from packrat_core.errors import Refused
from packrat_core.packages.python.spellings import normalize, version_of

SDIST_ENDINGS = (".tar.gz", ".zip")

_OUTDATED = re.compile(
    r".+(?P<ending>\.(?:egg|exe|msi|tar|tgz|tbz|tbz2|txz|tlz|tar\.(?:bz2|xz|lz|lzma|zst|Z)))", re.IGNORECASE
)
_WHEEL = re.compile(r"[^-]+-[^-]+(-[0-9][!-,.-~]*)?(-[A-Za-z0-9_.]+){3}\.whl")
"""Matches the name of a wheel whose tags clients read; packaging takes nearly all letters there."""

_ARCHIVE = ("is not published in a Python index", "build the source distribution again, as .tar.gz")
_INSTALLER = ("is an installer, which pip and uv can't install", "build a wheel")
_ADVICE = {
    ".egg": ("is an egg, which pip and uv can't install", "build a wheel"),
    ".exe": _INSTALLER,
    ".msi": _INSTALLER,
}
"""What the others are, and what to do."""


def check_ending(file_name: str) -> None:
    """Check that a file is called like one that an index has.

    Raises:
        Refused: it is not; the message says what it is, and the hint what to build in its place.
    """
    if file_name.endswith((".whl", *SDIST_ENDINGS)):
        return
    match = _OUTDATED.fullmatch(file_name)
    if match is not None:
        what, hint = _ADVICE.get(match["ending"].lower(), _ARCHIVE)
        raise Refused(f"{file_name} {what}", hint=hint)
    raise Refused(
        f"{file_name} is neither a wheel (.whl) nor a source distribution (.tar.gz, .zip)",
        hint="build one of these, or upload it as a file of another type",
    )


def is_outdated(file_name: str) -> bool:
    """Return whether a file is called like a distribution of a kind that no index has any more."""
    match = _OUTDATED.fullmatch(file_name)
    return match is not None and re.search(r"[^-]-v?[0-9]", file_name) is not None


def parse_file_name(file_name: str, project: str) -> tuple[str, Version]:
    """Return project (normalized) and version as a file's name has them.

    Args:
        file_name: the name of a wheel or source distribution.
        project: the normalized name of the project that it should be of.

    Raises:
        Refused: the name is invalid.
    """
    try:
        if file_name.endswith(".whl"):
            found = parse_wheel_filename(file_name)[:2]
            if not _WHEEL.fullmatch(file_name):
                raise InvalidWheelFilename(f"clients can't read the tags or the build number in {file_name[:200]!r}")
            return found
        spelled, version = split_sdist_name(file_name, project)
        return normalize(spelled), version
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion, ValueError) as error:
        raise Refused(f"its file name can't be used: {error}") from None


def split_sdist_name(file_name: str, project: str) -> tuple[str, Version]:
    """Split the name of a source distribution at the dash after the project, as a version may contain dashes: 1.0-1.

    Args:
        file_name: the name of the file.
        project: the normalized name of the project that it should be of.

    Returns:
        The project as the name spells it, and the version.

    Raises:
        InvalidSdistFilename: it is not the name of a source distribution.
        InvalidVersion: it is not a version by PEP 440.
    """
    ending = next((ending for ending in SDIST_ENDINGS if file_name.endswith(ending)), None)
    if ending is None:
        raise InvalidSdistFilename(f"{file_name} ends neither with .tar.gz nor with .zip")
    stem = file_name.removesuffix(ending)
    for at, letter in enumerate(stem):
        if letter == "-" and normalize(stem[:at]) == project:
            return stem[:at], version_of(stem[at + 1 :])
    # The name is of another project: split at the last dash, so that the caller can report both names.
    name, dash, version = stem.rpartition("-")
    if not dash:
        raise InvalidSdistFilename(f"{file_name} has no version")
    return name, version_of(version)
