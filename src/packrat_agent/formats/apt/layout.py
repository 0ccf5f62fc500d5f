"""Decides where the files of an apt repository are.

    pool/<first six characters of the package name>/<file>
    dists/<suite>/InRelease, Release, Release.gpg
    dists/<suite>/main/binary-<architecture>/Packages.gz, Packages.xz, Release
    dists/<suite>/main/binary-<architecture>/by-hash/SHA256/<SHA-256 of one of these>

Each distribution version of the repository is a suite. Source: Debian wiki, DebianRepository/Format.
"""

from packrat_agent.formats.distro_versions import LISTED_WRONGLY, version_of
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_core.errors import Refused
from packrat_core.packages.deb.control import check_file_name

COMPONENT = "main"
"""The only component of each suite."""

ALL = "all"
"""The architecture of packages that are for every architecture."""


def place_package(repo: Repo, file: PackageFile) -> str:
    """Choose the path of a package file.

    Raises:
        Refused: it is not a .deb, or is for a distribution version that the repository does not have.
    """
    if file.kind != "deb":
        raise Refused(f"a {file.kind} file called {file.file_name} can't be in an apt repository", hint=LISTED_WRONGLY)
    check_file_name(file.file_name)
    version_of(repo, file)
    return f"pool/{file.package[:6]}/{file.file_name}"


def suite_of(version: DistroVersion) -> str:
    """Give the name of a distribution version's suite."""
    return version.version or version.name


def suite_directory(suite: str) -> str:
    """Give the directory of a suite."""
    return f"dists/{suite}"


def index_directory(architecture: str) -> str:
    """Give the directory of an architecture's indexes, relative to that of the suite, as Release lists it."""
    return f"{COMPONENT}/binary-{architecture}"


def by_hash_directory(directory: str) -> str:
    """Give the directory in which the files of another one also stand under their SHA-256."""
    return f"{directory}/by-hash/SHA256"
