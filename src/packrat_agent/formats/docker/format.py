"""The docker repository type: publishes images as files from which a web server answers as a registry does.

`read` opens the image archive; every other method works on values alone.

Source: OCI Distribution Specification 1.1.
"""

from pathlib import Path

from packrat_agent.formats.docker.client_lines import client_setup
from packrat_agent.formats.docker.layout import KIND, owner_of, place_image, public_host, public_prefix
from packrat_agent.formats.docker.render import render_images
from packrat_agent.formats.docker.serving import write_rules
from packrat_agent.formats.docker.unpack import judge_image, unpack_image
from packrat_agent.formats.interface import (
    ClientSetup,
    IsWritten,
    RenderRequest,
    RenderSettings,
    Treatment,
    WebRules,
    WebServer,
)
from packrat_agent.model.entries import Fragment
from packrat_agent.model.key_places import KeyPlace
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Publication


class DockerFormat:
    """`Format` for docker."""

    kind = KIND
    treatment = Treatment.UNPACKED
    fragment_version = 1
    has_yanked = False
    keeps_index = False

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Place the image in v2/<image>; its version becomes a tag."""
        return place_image(repo, file)

    def read(
        self,
        path: Path,
        into: Path | dict[str, bytes] | None,
        content: bytes | None = None,
        is_written: IsWritten | None = None,
    ) -> Fragment:
        """Take the manifests and the blobs out of the archive as products."""
        if isinstance(into, dict):
            raise TypeError("blobs are too large for memory")
        return judge_image(path) if into is None else unpack_image(path, into, is_written)

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Accept every archive: users save images under all sorts of names, and only the record's name counts."""

    def owner(self, path: str) -> str | None:
        """Name the manifest of a signature, or of a list of signatures."""
        return owner_of(path)

    def render(self, request: RenderRequest) -> tuple[Publication, ...]:
        """Render one publication for each image, then the catalog; unchanged images are not rendered again."""
        return render_images(request)

    def client_setup(
        self, repo: Repo, url: str, key: KeyPlace | None, example: str | None = None
    ) -> tuple[ClientSetup, ...]:
        """Give the commands that pull an image, and those that make podman check signatures if images are signed."""
        return client_setup(repo, url, key, example or "IMAGE")

    def release_name(self, version: DistroVersion) -> str:
        """Give '': an image is for any distribution."""
        return ""

    def signed_part(self, repo: Repo, settings: RenderSettings) -> str | None:
        """Name the manifests, if the name that clients pull by is known; a signature covers this name."""
        if public_prefix(repo) is None or public_host(settings.public_url) is None:
            return None
        return "every manifest; only clients with a signature policy check it"

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give the rules for the types of manifests, for answers in JSON, and for the addresses of a registry."""
        prefix = public_prefix(repo)
        return write_rules(server, prefix, root) if prefix is not None else WebRules()
