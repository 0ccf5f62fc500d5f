"""The yum repository type, for dnf, yum and zypper: places rpms by architecture and renders repodata over them.

If `public_url` is set, each publication is also available as an immutable generation, to which the mirror list and the
metalink lead clients. `read` opens the package file; every other method works on values alone.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from packrat_agent.formats.interface import RenderRequest, Treatment, WebRules, WebServer
from packrat_agent.formats.newest import sort_entries
from packrat_agent.formats.renamed import check_record
from packrat_agent.formats.versions import version_of
from packrat_agent.formats.yum.read_rpm import read_rpm
from packrat_agent.formats.yum.repodata import Metadata, write_metadata
from packrat_agent.formats.yum.repomd import (
    MIRROR_MARK,
    write_metalink,
    write_mirrorlist,
    write_repo_file,
    write_repomd,
)
from packrat_agent.formats.yum.serving import write_rules
from packrat_agent.model.dates import rising
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Content, PendingSignature, Publication, SignatureForm, Tree, TreeFile, TreeLink
from packrat_core.errors import Refused
from packrat_core.packages.rpm import architectures

_COMPONENT = "main"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^:-]*\.rpm")


class YumFormat:
    """`Format` for yum."""

    kind = "yum"
    treatment = Treatment.SIGNED
    fragment_version = 1

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Place the file at <distro>/main/<version>/<arch>/<file>."""
        if file.kind != "rpm" or not file.file_name.endswith(".rpm"):
            raise Refused(f"a {file.kind} file called {file.file_name} can't be in a {self.kind} repository")
        if file.file_name.endswith((".src.rpm", ".nosrc.rpm")):
            raise Refused("it is a source package; a repository for clients takes binary packages only")
        if not _FILE_NAME.fullmatch(file.file_name):
            raise Refused(f"clients can't ask for a file called {file.file_name!r}; upload it under a plain name")
        return f"{_top(version_of(repo, file))}/{architectures.directory(file.arch)}/{file.file_name}"

    def read(self, path: Path, into: Path) -> Fragment:
        """Read the package's three XML fragments."""
        return read_rpm(path)

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Check that name, version and architecture are those of the record."""
        if architectures.directory(file.arch) != architectures.directory(architectures.server_name(fragment.arch)):
            raise Refused(f"the server has it as {file.arch}, its header says {fragment.arch}")
        check_record(file, fragment, "its header")

    def render(self, request: RenderRequest) -> Tree:
        """Render one publication for each distribution version, including those without packages."""
        names: dict[str, list[DistroVersion]] = {}
        for version in request.repo.distro_versions:
            if version.file_type == "rpm":
                names.setdefault(_top(version), []).append(version)
        publications = []
        for top, versions in sorted(names.items()):
            wanted = {version.name for version in versions}
            entries = [entry for entry in request.entries if entry.file.distro_version in wanted]
            publications.append(_render_version(request, top, versions[0], entries))
        return Tree(request.repo, tuple(publications))

    def client_setup(self, repo: Repo, url: str, signed: bool) -> str:
        """Give the commands that install the .repo file, and fill in the mirror's address if the file lacks it."""
        lines = []
        for version in repo.distro_versions:
            top, is_zypper = _top(version), version.distro == "sles"
            directory = "/etc/zypp/repos.d" if is_zypper else "/etc/yum.repos.d"
            lines += [
                f"# {version.distro} {version.version or version.name}",
                f"curl -fsSL {url}/{quote(f'{repo.directory}/{top}/{repo.name}')}.repo "
                f"| sed 's|{MIRROR_MARK}|{url}|' | sudo tee {directory}/{repo.name}.repo",
                f"sudo zypper refresh {repo.name}" if is_zypper else f"sudo dnf makecache --repo {repo.name}",
            ]
        return "\n".join(lines)

    def signed_part(self, repo: Repo, public_url: str | None) -> str | None:
        """Name the metadata and every package."""
        return "the metadata and every package"

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give the rules for caching what never changes, and for following the links of a generation."""
        return write_rules(server, repo, root)


def _top(version: DistroVersion) -> str:
    return f"{version.distro}/{_COMPONENT}/{version.version or version.name}"


def _render_version(request: RenderRequest, top: str, version: DistroVersion, entries: Sequence[Entry]) -> Publication:
    settings, repo = request.settings, request.repo
    # Named like its directory, so that no two publications share a pointer.
    name = f"{version.distro}/{version.version or version.name}"
    ordered = sort_entries(entries)
    metadata = write_metadata(ordered, f"{top}/", request.chunks)
    revision = _next_revision(request, name)
    description = " ".join(settings.mirror_description.split())
    repomd = write_repomd(metadata, revision, description)
    title = f"{repo.description or repo.name} ({version.distro} {version.version or version.name})"
    repo_file = write_repo_file(repo, top, title, settings)
    content: list[TreeFile | TreeLink | PendingSignature] = _repodata_content(f"{top}/repodata", metadata)
    pointers = _repomd_files(f"{top}/repodata", f"{top}/repodata", Content.of(repomd), request)
    # The lists need absolute addresses. Their clients read one generation from start to end, so an update in between
    # can't take files away from them.
    if settings.public_url:
        generation = f"generations/{revision}-{hashlib.sha256(repomd).hexdigest()[:12]}"
        content += _repodata_content(f"{top}/{generation}/repodata", metadata)
        content += _repomd_files(f"{top}/{generation}/repodata", f"{top}/repodata", Content.of(repomd), request)
        arches = sorted({entry.path.removeprefix(f"{top}/").partition("/")[0] for entry in ordered})
        content += [TreeLink(f"{top}/{generation}/{arch}", f"../../{arch}") for arch in arches]
        address = f"{settings.public_url}/{quote(f'{repo.directory}/{top}/{generation}')}"
        pointers += [
            TreeFile(f"{top}/mirrorlist", Content.of(write_mirrorlist(address))),
            TreeFile(f"{top}/metalink", Content.of(write_metalink(address, repomd, revision))),
        ]
    pointers.append(TreeFile(f"{top}/{repo.name}.repo", Content.of(repo_file)))
    # With revision 0, the identity does not depend on the date.
    identity = hashlib.sha256(write_repomd(metadata, 0, description) + repo_file + (settings.public_key or b""))
    return Publication(name, identity.hexdigest(), tuple(content), tuple(pointers), {"Revision": str(revision)})


def _repodata_content(directory: str, metadata: Sequence[Metadata]) -> list[TreeFile | TreeLink | PendingSignature]:
    return [TreeFile(f"{directory}/{file.name}", file.content) for file in metadata]


def _repomd_files(
    directory: str, source: str, repomd: Content, request: RenderRequest
) -> list[TreeFile | TreeLink | PendingSignature]:
    """List repomd.xml after its signature.

    Args:
        directory: where the files are published.
        source: the directory whose repomd.xml is signed; the generations share one signature with it.
        repomd: the content of repomd.xml.
        request: what the repository is rendered from.
    """
    files: list[TreeFile | TreeLink | PendingSignature] = []
    if request.settings.signed:
        if request.settings.public_key:
            files.append(TreeFile(f"{directory}/repomd.xml.key", Content.of(request.settings.public_key)))
        files.append(PendingSignature(f"{directory}/repomd.xml.asc", f"{source}/repomd.xml", SignatureForm.ARMOR))
    files.append(TreeFile(f"{directory}/repomd.xml", repomd))
    return files


def _next_revision(request: RenderRequest, publication: str) -> int:
    """Give the revision in epoch seconds: now, or just after the last one if the clock has stepped back."""
    last = request.facts.get(publication, {}).get("Revision", "")
    return rising(int(request.now.timestamp()), int(last) if last.isdigit() else None)
