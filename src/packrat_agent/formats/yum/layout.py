"""Decides where the files of a yum repository are.

    <distro>/main/<version>/<architecture>/<file>
    <distro>/main/<version>/repodata/repomd.xml, repomd.xml.asc, repomd.xml.key
    <distro>/main/<version>/repodata/<SHA-256>-primary.xml.gz, …-filelists.xml.gz, …-other.xml.gz
    <distro>/main/<version>/generations/<revision>-<hash>/repodata/…
    <distro>/main/<version>/mirrorlist, metalink, <repository>.repo

A generation is never changed, and reaches the packages by links. It is written only if `public_url` is set, because
the lists that lead clients to it need absolute addresses.
"""

import hashlib
import re

from packrat_agent.formats.distro_versions import LISTED_WRONGLY, version_of
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_core.errors import Refused
from packrat_core.packages.rpm import architectures

_COMPONENT = "main"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~^:-]*\.rpm")


def place_package(repo: Repo, file: PackageFile) -> str:
    """Choose the path of a package file.

    Raises:
        Refused: it is not a binary rpm, clients can't ask for its name, or the repository does not have its
            distribution version.
    """
    if file.kind != "rpm" or not file.file_name.endswith(".rpm"):
        raise Refused(f"a {file.kind} file called {file.file_name} can't be in a yum repository", hint=LISTED_WRONGLY)
    if file.file_name.endswith((".src.rpm", ".nosrc.rpm")):
        raise Refused(
            "it is a source package; a repository for clients takes binary packages only", hint=LISTED_WRONGLY
        )
    if not _FILE_NAME.fullmatch(file.file_name):
        raise Refused(f"clients can't ask for a file called {file.file_name!r}", hint="upload it under a plain name")
    return f"{version_directory(version_of(repo, file))}/{architectures.directory(file.arch)}/{file.file_name}"


def version_directory(version: DistroVersion) -> str:
    """Give the directory of a distribution version, which clients know as the repository."""
    return f"{version.distro}/{_COMPONENT}/{version.version or version.name}"


def generation_directory(revision: int, repomd: bytes) -> str:
    """Give the directory of a generation, relative to that of the distribution version.

    The revision alone would not do: rendering again at the same date must not change a published generation.
    """
    return f"generations/{revision}-{hashlib.sha256(repomd).hexdigest()[:12]}"
