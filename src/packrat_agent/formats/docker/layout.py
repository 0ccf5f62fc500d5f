"""The places of a repository's images, on disk and in the names by which clients pull them.

Source: OCI Distribution Specification 1.1, "Pulling manifests"; github.com/distribution/reference, grammar.
"""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from packrat_agent.formats.distro_versions import version_of
from packrat_agent.model.records import PackageFile, Repo
from packrat_core.errors import Refused
from packrat_core.packages.image.names import IMAGE, NAME_LIMIT, check_image, check_tag

KIND = "docker"
"""Name of the type."""
LATEST = "latest"
CATALOG = "_catalog"
"""Name of the publication with the list of images."""
HOST_CATALOG = "v2/_catalog"
"""The list of the images of all repositories, relative to root_dir."""
SIGNATURE_API = "v2/_signatures"
"""Exists in root_dir if its registries hand out signatures; the web servers tell clients so."""
NO_REFERRERS = "v2/_no_referrers"
"""What Apache answers for a manifest to which nothing refers, relative to root_dir."""
_EXTENSION = "extensions/v2"
_DEPTH_LIMIT = 4
_OF_OTHER_TYPES = frozenset({"dists", "simple", "repodata", "_repo_main"})
"""Directories that repositories of other types have, below which no docker repository is."""

_OF_MANIFEST = re.compile(
    rf"(?:{_EXTENSION}/(?P<listed>{IMAGE})/signatures/sha256:|sigstore/{IMAGE}(?:/{IMAGE})*/(?P<signed>{IMAGE})@sha256=)"
    r"(?P<hex>[0-9a-f]{64})(?:/signature-[1-9][0-9]*)?"
)
_DIRECTORY = re.compile(f"{IMAGE}(?:/{IMAGE})*")


def place_image(repo: Repo, file: PackageFile) -> str:
    """Place an image in v2/<image>; its version becomes a tag.

    Raises:
        Refused: it is not an image, is for another distribution version, or has a name that registries do not allow.
    """
    if file.kind != "docker" or not file.file_name.endswith(".tar"):
        raise Refused(
            f"a {file.kind} file called {file.file_name} can't be in a docker repository",
            hint="upload an image as a .tar, as `docker save` writes it",
        )
    version_of(repo, file)
    check_tag(file.version)
    return f"v2/{check_image(file.package)}"


def owner_of(path: str) -> str | None:
    """Name the manifest that a signature or a list of signatures belongs to; None for other files."""
    match = _OF_MANIFEST.fullmatch(path)
    return f"v2/{match['listed'] or match['signed']}/manifests/sha256:{match['hex']}" if match is not None else None


def has_signature_api(root: Path) -> bool:
    """Return whether the tree in root_dir hands out signatures through its registries.

    Trees that were made before there was a choice do, if they hold a docker repository.
    """
    if os.path.lexists(root / HOST_CATALOG):
        return os.path.lexists(root / SIGNATURE_API)
    return _has_extension(os.fspath(root), _DEPTH_LIMIT)


def _has_extension(directory: str, depth: int) -> bool:
    # As text: the directories of a pool may be many thousands, and each start of the agent looks at them.
    try:
        with os.scandir(directory) as entries:
            below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return False
    below = [name for name in below if not name.startswith(".")]
    # What lies in a closed directory is not known.
    if any(os.path.isdir(f"{directory}/{name}/{_EXTENSION}") for name in below):
        return True
    if depth <= 1 or not _OF_OTHER_TYPES.isdisjoint(below):
        return False
    return any(_has_extension(f"{directory}/{name}", depth - 1) for name in below)


def public_prefix(repo: Repo) -> str | None:
    """Return the prefix of the repository's images: its directory; None if that can't be part of a name."""
    return repo.directory if len(repo.directory) <= NAME_LIMIT and _DIRECTORY.fullmatch(repo.directory) else None


def public_host(public_url: str | None) -> str | None:
    """Return the registry's host and port as references have them; None if no reference can name it.

    Clients take a first part without a dot or a port, other than `localhost`, for a name on Docker Hub.
    """
    host = urlsplit(public_url).netloc.rpartition("@")[2] if public_url else ""
    return host if "." in host or ":" in host or host == "localhost" else None
