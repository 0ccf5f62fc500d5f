"""The yum repository type, for dnf, yum and zypper: rpms by architecture, and repodata over them.

`read` opens the package file; every other method works on values alone.
"""

from pathlib import Path

from packrat_agent.formats.interface import (
    ClientSetup,
    IsWritten,
    RenderRequest,
    RenderSettings,
    Treatment,
    WebRules,
    WebServer,
)
from packrat_agent.formats.record_names import WRONG_RECORD, check_record
from packrat_agent.formats.yum.layout import place_package
from packrat_agent.formats.yum.read_rpm import read_rpm
from packrat_agent.formats.yum.render import render_repository
from packrat_agent.formats.yum.serving import client_setup, write_rules
from packrat_agent.model.entries import Fragment
from packrat_agent.model.key_places import KeyPlace
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Publication
from packrat_core.errors import Refused
from packrat_core.packages.rpm import architectures


class YumFormat:
    """`Format` for yum."""

    kind = "yum"
    treatment = Treatment.SIGNED
    fragment_version = 1
    has_yanked = False
    keeps_index = True

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Place the file in the directory of its distribution version and architecture."""
        return place_package(repo, file)

    def read(
        self,
        path: Path,
        into: Path | dict[str, bytes] | None,
        content: bytes | None = None,
        is_written: IsWritten | None = None,
    ) -> Fragment:
        """Read the package's three XML fragments."""
        return read_rpm(path)

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Check that name, version and architecture are those of the record."""
        if architectures.directory(file.arch) != architectures.directory(architectures.server_name(fragment.arch)):
            raise Refused(f"the server has it as {file.arch}, its header says {fragment.arch}", hint=WRONG_RECORD)
        check_record(file, fragment, "its header")

    def owner(self, path: str) -> str | None:
        """Give None: nothing belongs to a single package file."""
        return None

    def render(self, request: RenderRequest) -> tuple[Publication, ...]:
        """Render one publication for each distribution version."""
        return render_repository(request)

    def client_setup(
        self, repo: Repo, url: str, key: KeyPlace | None, example: str | None = None
    ) -> tuple[ClientSetup, ...]:
        """Give the commands that install the .repo file, which says itself what is signed."""
        return client_setup(repo, url)

    def release_name(self, version: DistroVersion) -> str:
        """Give the name and version of the distribution."""
        return f"{version.distro} {version.version or version.name}"

    def signed_part(self, repo: Repo, settings: RenderSettings) -> str | None:
        """Name the metadata, and the packages if all of them are signed."""
        return "the metadata and every package" if settings.signs_all_packages else "the metadata"

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give the rules for caching what never changes, and for following the links of a generation."""
        return write_rules(server, repo, root)
