"""Decides where the files of a pypi repository are.

packages/<first six characters of the package name>/<file>
packages/<first six characters of the package name>/<wheel>.metadata
simple/index.html, simple/index.v1_json
simple/<project>/index.html, simple/<project>/index.v1_json
"""

from packrat_agent.formats.distro_versions import LISTED_WRONGLY, version_of
from packrat_agent.formats.record_names import without_suffix
from packrat_agent.model.records import PackageFile, Repo
from packrat_core.errors import Refused
from packrat_core.packages.python.file_names import check_ending

SIMPLE = "simple"
"""The directory of the index."""

HTML_PAGE = "index.html"
JSON_PAGE = "index.v1_json"

METADATA = ".metadata"
"""What follows the name of a wheel in that of its metadata file (PEP 658)."""


def place_package(repo: Repo, file: PackageFile) -> str:
    """Choose the path of a package file.

    Raises:
        Refused: it is neither a wheel nor a source distribution, or the repository does not have its distribution
            version.
    """
    if file.kind != "python":
        raise Refused(f"a {file.kind} file called {file.file_name} can't be in a pypi repository", hint=LISTED_WRONGLY)
    check_ending(without_suffix(file.file_name))
    version_of(repo, file)
    return f"packages/{file.package[:6]}/{file.file_name}"


def project_directory(project: str) -> str:
    """Give the directory of a project's page; `project` is its normalized name."""
    return f"{SIMPLE}/{project}"


def owner_of(path: str) -> str | None:
    """Name the wheel that a metadata file belongs to; None for other files."""
    owner = path.removesuffix(METADATA)
    return owner if owner != path and not path.startswith(f"{SIMPLE}/") else None
