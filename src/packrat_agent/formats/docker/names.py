"""Checks the names of images and tags, and derives the public name by which clients pull an image.

Source: OCI Distribution Specification 1.1, "Pulling manifests"; github.com/distribution/reference, grammar.
"""

import re
from urllib.parse import urlsplit

from packrat_agent.model.records import Repo
from packrat_core.errors import Refused

IMAGE = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
TAG = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
LATEST = "latest"

_IMAGE = re.compile(IMAGE)
_TAG = re.compile(TAG)
_DIRECTORY = re.compile(f"{IMAGE}(?:/{IMAGE})*")
_NAME_LIMIT = 128


def check_image(name: str) -> str:
    """Return the name of an image, checked.

    Raises:
        Refused: registries do not allow the name.
    """
    if len(name) > _NAME_LIMIT or not _IMAGE.fullmatch(name):
        raise Refused(
            f"an image can't be called {name!r}: lower-case letters and digits, with single . _ - between them"
        )
    return name


def check_tag(version: str) -> str:
    """Return a version, checked to be a valid tag.

    Raises:
        Refused: the version can't be a tag.
    """
    if not _TAG.fullmatch(version):
        raise Refused(f"its version {version!r} can't be a tag: up to 128 letters, digits, _ . -, no . or - at first")
    return version


def public_prefix(repo: Repo) -> str | None:
    """Return the prefix of the repository's images: its directory; None if that can't be part of a name."""
    return repo.directory if len(repo.directory) <= _NAME_LIMIT and _DIRECTORY.fullmatch(repo.directory) else None


def public_host(public_url: str | None) -> str | None:
    """Return the registry's host and port as references have them; None if no reference can name it.

    Clients take a first part without a dot or a port, other than `localhost`, for a name on Docker Hub.
    """
    host = urlsplit(public_url).netloc.rpartition("@")[2] if public_url else ""
    return host if "." in host or ":" in host or host == "localhost" else None
