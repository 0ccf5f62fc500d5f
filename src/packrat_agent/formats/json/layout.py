"""Decides where the files of a json repository are.

    <package>/<file>
    SHA256SUMS, SHA256SUMS.gpg, SHA256SUMS.asc
    SHA256SUMS.signed
    _repo_main/MANIFEST_all.json, _repo_main/MANIFEST_all.json.gpg

1. A file for which there is a repository type of its own belongs there, and is refused here.
2. No package may be called like a file or directory of the lists.
3. SHA256SUMS.signed holds the list and its signature in one file. SHA256SUMS and a detached signature of it are two
   files, and a client that fetches one before and one after a publication has two that don't fit.
"""

from packrat_agent.formats.distro_versions import LISTED_WRONGLY, version_of
from packrat_agent.model.records import PackageFile, Repo
from packrat_core.errors import Refused
from packrat_core.packages.repository_types import REPOSITORY_TYPES

MANIFEST = "_repo_main/MANIFEST_all.json"
SUMS = "SHA256SUMS"
SIGNED_SUMS = f"{SUMS}.signed"

_TYPE_OF_FILES = {known.file_type: kind for kind, known in REPOSITORY_TYPES.items() if known.file_type is not None}
"""The server's type of package files → the repository type that is meant for them."""

_RESERVED = frozenset({"_repo_main", SUMS, f"{SUMS}.gpg", f"{SUMS}.asc", SIGNED_SUMS})


def place_file(repo: Repo, file: PackageFile) -> str:
    """Choose the path of a file.

    Raises:
        Refused: another repository type is meant for it, its package has a reserved name, or the repository does not
            have its distribution version.
    """
    if file.kind in _TYPE_OF_FILES:
        other = _TYPE_OF_FILES[file.kind]
        raise Refused(
            f"a {file.kind} file called {file.file_name} belongs in a repository of type {other}", hint=LISTED_WRONGLY
        )
    version_of(repo, file)
    if file.package in _RESERVED:
        raise Refused(
            f"a package can't be called {file.package}: the repository has a file or directory of that name",
            hint="upload the file under another package name",
        )
    return f"{file.package}/{file.file_name}"
