"""The apt repository type: .deb files in a pool, and for each suite the indexes that apt reads.

`read` opens the package file; every other method works on values alone.
"""

import os
from pathlib import Path

from packrat_agent.formats.apt.layout import place_package, suite_of
from packrat_agent.formats.apt.render import render_repository
from packrat_agent.formats.apt.serving import client_setup
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
from packrat_agent.model.entries import Fragment
from packrat_agent.model.key_places import KeyPlace
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Publication
from packrat_core.errors import Refused
from packrat_core.packages.deb.architectures import server_name
from packrat_core.packages.deb.control import read_control, read_control_of
from packrat_core.packages.deb.stanza import read_stanza


class AptFormat:
    """`Format` for apt."""

    kind = "apt"
    treatment = Treatment.AS_IS
    fragment_version = 3
    has_yanked = False
    keeps_index = True

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Place the file in the pool."""
        return place_package(repo, file)

    def read(
        self,
        path: Path,
        into: Path | dict[str, bytes] | None,
        content: bytes | None = None,
        is_written: IsWritten | None = None,
    ) -> Fragment:
        """Read the control paragraph and clean it."""
        stanza = read_stanza(read_control(path) if content is None else read_control_of(content))
        facts = stanza.facts
        size = os.stat(path).st_size if content is None else len(content)  # pathlib takes longer
        return Fragment(stanza.body, facts.name, facts.version, facts.arch, size=size)

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Check that name, version and architecture are those of the record."""
        if file.arch not in (server_name(fragment.arch), fragment.arch):
            raise Refused(f"the server has it as {file.arch}, its control file says {fragment.arch}", hint=WRONG_RECORD)
        check_record(file, fragment, "its control file")

    def owner(self, path: str) -> str | None:
        """Give None: nothing belongs to a single package file."""
        return None

    def render(self, request: RenderRequest) -> tuple[Publication, ...]:
        """Render one publication for each suite."""
        return render_repository(request)

    def client_setup(
        self, repo: Repo, url: str, key: KeyPlace | None, example: str | None = None
    ) -> tuple[ClientSetup, ...]:
        """Give the commands that install the key and the list file; also with a deb822 file in its place."""
        return client_setup(repo, url, key)

    def release_name(self, version: DistroVersion) -> str:
        """Give the name of the suite."""
        return suite_of(version)

    def signed_part(self, repo: Repo, settings: RenderSettings) -> str | None:
        """Name the Release files; their hashes cover everything else."""
        return "the Release files; through their hashes, the indexes and packages"

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give no rules: apt reads plain files."""
        return WebRules()
