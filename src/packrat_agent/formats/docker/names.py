"""Says what images and tags may be called, and what an image is called in public.

Takes: names and versions as the server has them.
Gives: the same, checked; references.
Touches: nothing.

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
    """Raises: Refused where no registry could have an image of that name."""
    if len(name) > _NAME_LIMIT or not _IMAGE.fullmatch(name):
        raise Refused(
            f"an image can't be called {name!r}: lower-case letters and digits, with single . _ - between them"
        )
    return name


def check_tag(version: str) -> str:
    """Raises: Refused where the version can't be a tag."""
    if not _TAG.fullmatch(version):
        raise Refused(f"its version {version!r} can't be a tag: up to 128 letters, digits, _ . -, no . or - at first")
    return version


def public_prefix(repo: Repo) -> str | None:
    """Give what stands before the names of the repository's images; None where its directory can't be in a name."""
    return repo.directory if len(repo.directory) <= _NAME_LIMIT and _DIRECTORY.fullmatch(repo.directory) else None


def public_host(public_url: str | None) -> str | None:
    """Give the registry's host and port as they stand in references; None where clients know none.

    Without a dot, a port, or being `localhost` clients would take it for a name on Docker Hub.
    """
    host = urlsplit(public_url).netloc.rpartition("@")[2] if public_url else ""
    return host if "." in host or ":" in host or host == "localhost" else None
