"""The pypi repository type: wheels and source distributions under a simple index.

`read` opens the package file and writes a wheel's metadata; every other method works on values alone.
"""

from pathlib import Path

from packaging.utils import canonicalize_name

from packrat_agent.formats.interface import (
    ClientSetup,
    IsWritten,
    RenderRequest,
    RenderSettings,
    Treatment,
    WebRules,
    WebServer,
)
from packrat_agent.formats.pypi.layout import owner_of, place_package
from packrat_agent.formats.pypi.render import render_repository
from packrat_agent.formats.pypi.serving import client_setup, write_rules
from packrat_agent.formats.pypi.unpack import kind_of, unpack_distribution
from packrat_agent.formats.record_names import WRONG_RECORD, means, published_name
from packrat_agent.model.entries import Fragment
from packrat_agent.model.key_places import KeyPlace
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Rendered
from packrat_core.errors import Refused
from packrat_core.packages.python.inspect import check_file_name
from packrat_core.packages.python.metadata import read_version


class PypiFormat:
    """`Format` for pypi."""

    kind = "pypi"
    treatment = Treatment.ACCOMPANIED
    fragment_version = 2
    has_yanked = True
    keeps_index = True

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Place the file below packages/."""
        return place_package(repo, file)

    def read(
        self,
        path: Path,
        into: Path | dict[str, bytes] | None,
        content: bytes | None = None,
        is_written: IsWritten | None = None,
    ) -> Fragment:
        """Read kind and Requires-Python; a wheel's METADATA becomes the product `.metadata`."""
        return unpack_distribution(path, into, content)

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Check that name and version are those of the record and of the published file's name, in any spelling."""
        check_file_name(published_name(file.file_name, fragment), kind_of(fragment), fragment.name, fragment.version)
        # Both PEP 503 and the server's renaming make several spellings of one name; either may explain a difference.
        is_project = canonicalize_name(file.package) == canonicalize_name(fragment.name)
        if not (is_project or means(_plain(file.package), _plain(fragment.name))):
            raise Refused(
                f"the server has it as package {file.package}, its metadata says {fragment.name}", hint=WRONG_RECORD
            )
        if not (means(_plain(file.version), _plain(fragment.version)) or _same_version(file, fragment)):
            raise Refused(
                f"the server has it as version {file.version}, its metadata says {fragment.version}", hint=WRONG_RECORD
            )

    def owner(self, path: str) -> str | None:
        """Name the wheel of a metadata file."""
        return owner_of(path)

    def render(self, request: RenderRequest) -> Rendered:
        """Render one publication for each project, and that of the root page."""
        return render_repository(request)

    def client_setup(
        self, repo: Repo, url: str, key: KeyPlace | None, example: str | None = None
    ) -> tuple[ClientSetup, ...]:
        """Give the commands that make it the only index of pip, uv and poetry, and how to use it beside PyPI."""
        return client_setup(repo, url)

    def release_name(self, version: DistroVersion) -> str:
        """Give '': Python packages are for any distribution."""
        return ""

    def signed_part(self, repo: Repo, settings: RenderSettings) -> str | None:
        """Return None: Python clients do not check signatures."""
        return None

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give the rules that answer with JSON if a client asks for it, and with HTML otherwise."""
        return write_rules(server, repo.directory, root)


def _plain(text: str) -> str:
    return text.lower().replace("_", "-")


def _same_version(file: PackageFile, fragment: Fragment) -> bool:
    return read_version(file.version, "the server's record") == read_version(fragment.version, "its metadata")
