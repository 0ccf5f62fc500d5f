"""Reads names and versions of Python projects, and remembers the last ones, since the files of a project repeat them.

normalize("My.Tool")  # "my-tool"
version_of("1.0")     # Version("1.0")
"""

import re
from functools import lru_cache

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_KNOWN = 1024
_LENGTH_LIMIT = 200
"""Characters of what is remembered; a longer text is read each time."""


def normalize(name: str) -> NormalizedName:
    """Return the spelling that all spellings of a project's name share (PEP 503)."""
    return _normalize(name) if len(name) <= _LENGTH_LIMIT else canonicalize_name(name)


def is_project_name(text: str) -> bool:
    """Tell whether a text is the name of a project, in any spelling."""
    return _NAME.fullmatch(text) is not None


def version_of(text: str) -> Version:
    """Parse a version.

    Raises:
        InvalidVersion: it is not one by PEP 440.
        ValueError: it has a number of more digits than Python converts.
    """
    return _version_of(text) if len(text) <= _LENGTH_LIMIT else Version(text)


def is_version(text: str) -> bool:
    """Tell whether a text is a version."""
    try:
        version_of(text)
    except ValueError:
        return False
    return True


@lru_cache(_KNOWN)
def _normalize(name: str) -> NormalizedName:
    return canonicalize_name(name)


@lru_cache(_KNOWN)
def _version_of(text: str) -> Version:
    return Version(text)
