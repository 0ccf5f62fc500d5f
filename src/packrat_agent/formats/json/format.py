"""The json repository type: publishes files of any kind, with a signed manifest and a list of checksums."""

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
from packrat_agent.formats.json.layout import MANIFEST, SUMS, place_file
from packrat_agent.formats.json.render import render_repository
from packrat_agent.formats.json.serving import client_setup, write_rules
from packrat_agent.model.entries import Fragment
from packrat_agent.model.key_places import KeyPlace
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Publication


class FilesFormat:
    """`Format` for json."""

    kind = "json"
    treatment = Treatment.AS_IS
    fragment_version = 1
    has_yanked = False
    keeps_index = False

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Place the file in the directory of its package."""
        return place_file(repo, file)

    def read(
        self,
        path: Path,
        into: Path | dict[str, bytes] | None,
        content: bytes | None = None,
        is_written: IsWritten | None = None,
    ) -> Fragment:
        """Return a fragment with nothing but the size: the rest of what the manifest says is in the server's record."""
        return Fragment(b"", "", "", "", size=path.stat().st_size if content is None else len(content))

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Accept every file: package and version are known from the server alone."""

    def owner(self, path: str) -> str | None:
        """Give None: nothing belongs to a single package file."""
        return None

    def render(self, request: RenderRequest) -> tuple[Publication, ...]:
        """Render one publication, with all files."""
        return render_repository(request)

    def client_setup(
        self, repo: Repo, url: str, key: KeyPlace | None, example: str | None = None
    ) -> tuple[ClientSetup, ...]:
        """Give the commands that download and check the list and a file."""
        return (ClientSetup("curl and sha256sum", "", client_setup(repo, url, key)),)

    def release_name(self, version: DistroVersion) -> str:
        """Give '': files are for any distribution."""
        return ""

    def signed_part(self, repo: Repo, settings: RenderSettings) -> str | None:
        """Name the lists; their hashes cover the files."""
        return f"the lists {SUMS} and {MANIFEST.rpartition('/')[2]}; through their hashes, the files"

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give the rules by which a browser runs nothing of the files."""
        return write_rules(server, repo.directory)
