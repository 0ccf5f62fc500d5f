"""Finds the distribution version of a package file among those of its repository."""

from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_core.errors import Refused

LISTED_WRONGLY = "report this to whoever runs the server: it lists the file for this repository"
"""The hint where nobody can correct the package file: it belongs elsewhere."""


def version_of(repo: Repo, file: PackageFile) -> DistroVersion:
    """Find the distribution version that a package file is for.

    Raises:
        Refused: the repository does not have it, so the server should not have listed the file.
    """
    for version in repo.distro_versions:
        if version.name == file.distro_version:
            return version
    raise Refused(f"it is for {file.distro_version}, which {repo.name} does not have", hint=LISTED_WRONGLY)
