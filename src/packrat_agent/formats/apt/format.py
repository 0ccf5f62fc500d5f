"""The apt repository type: places .deb files in the pool and renders a publication (Packages, Release) for each suite.

`read` opens the package file; every other method works on values alone.
"""

from pathlib import Path

from packrat_agent.formats.apt.packages import Written, cut_shards
from packrat_agent.formats.apt.release import Listed, write_arch_release, write_release
from packrat_agent.formats.compress import compress_gzip, compress_xz
from packrat_agent.formats.interface import RenderRequest, Treatment, WebRules, WebServer
from packrat_agent.formats.newest import sort_entries
from packrat_agent.formats.renamed import check_record
from packrat_agent.formats.versions import version_of
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.model.tree import Content, PendingSignature, Publication, Retained, SignatureForm, Tree, TreeFile
from packrat_core.errors import Refused
from packrat_core.packages.deb.control import read_control
from packrat_core.packages.deb.stanza import read_stanza

_OUR_NAMES = {"x86_64": "amd64", "i386": "i386", "arm64": "arm64", "all": "all"}
"""The server's architectures → Debian's."""

_COMPONENT = "main"
_ALL = "all"
_ARCHITECTURES = "Architectures"
"""Name of the fact that holds the architectures that stay though no package is of them."""


class AptFormat:
    """`Format` for apt."""

    kind = "apt"
    treatment = Treatment.AS_IS
    fragment_version = 2

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Place the file at pool/<first six characters of the package name>/<file>."""
        if file.kind != "deb" or not file.file_name.endswith((".deb", ".ddeb")):
            raise Refused(f"a {file.kind} file called {file.file_name} can't be in an apt repository")
        version_of(repo, file)
        return f"pool/{file.package[:6]}/{file.file_name}"

    def read(self, path: Path, into: Path) -> Fragment:
        """Read the control paragraph and clean it."""
        stanza = read_stanza(read_control(path))
        facts = stanza.facts
        return Fragment(stanza.body, facts.name, facts.version, facts.arch)

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Check that name, version and architecture are those of the record."""
        if _OUR_NAMES.get(file.arch, file.arch) != fragment.arch:
            raise Refused(f"the server has it as {file.arch}, its control file says {fragment.arch}")
        check_record(file, fragment, "its control file")

    def render(self, request: RenderRequest) -> Tree:
        """Render one publication for each suite, including suites without packages."""
        publications = []
        for version in sorted(request.repo.distro_versions, key=lambda version: version.name):
            entries = [entry for entry in request.entries if entry.file.distro_version == version.name]
            publications.append(_render_suite(request, version.version or version.name, entries))
        return Tree(request.repo, tuple(publications))

    def client_setup(self, repo: Repo, url: str, signed: bool) -> str:
        """Give the commands that install the key and the list file."""
        suites = [version.version or version.name for version in repo.distro_versions]
        keyring = "/etc/apt/keyrings/packrat-mirror.gpg"
        option = f"signed-by={keyring}" if signed else "trusted=yes"
        # Releases before Debian 12 and Ubuntu 22.04 do not have this directory.
        fetch = ["sudo install -d -m 0755 /etc/apt/keyrings", f"sudo curl -fsSL -o {keyring} {url}/repo-key.gpg"]
        lines = fetch if signed else []
        lines += [
            f'echo "deb [{option}] {url}/{repo.directory} {suite} main" '
            f"| sudo tee /etc/apt/sources.list.d/{repo.name}-{suite}.list"
            for suite in suites
        ]
        return "\n".join([*lines, "sudo apt-get update"])

    def signed_part(self, repo: Repo, public_url: str | None) -> str | None:
        """Name the Release files; their hashes cover everything else."""
        return "the Release files; through their hashes, the indexes and packages"

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give no rules: apt reads plain files."""
        return WebRules()


def _render_suite(request: RenderRequest, suite: str, entries: list[Entry]) -> Publication:
    top = f"dists/{suite}"
    ordered = sort_entries(entries)
    # The architectures of a mirror that was taken over stay: clients ask for their indexes, also for empty ones.
    kept = request.facts.get(suite, {}).get(_ARCHITECTURES, "")
    present = sorted({entry.fragment.arch for entry in ordered}.union(kept.split()) - {_ALL}) or ["amd64"]
    # Packages for `all` are listed in every index, and in an index of their own for clients of other architectures.
    architectures = [_ALL, *present]
    content: list[TreeFile] = []
    pointers: list[TreeFile | PendingSignature] = []
    listed: list[Listed] = []
    for architecture in architectures:
        directory = f"{_COMPONENT}/binary-{architecture}"
        for name, data in _arch_indexes(request, suite, architecture, ordered).items():
            listed.append(Listed(f"{directory}/{name}", data.size, data.digest))
            # apt asks for .xz or .gz. Plain indexes are ten times as large, so only a few generations are retained.
            by_hash = f"{top}/{directory}/by-hash/SHA256/{data.digest}"
            retained = Retained.FEW_GENERATIONS if name == "Packages" else Retained.AS_INDEX
            content.append(TreeFile(by_hash, data, retained))
            pointers.append(TreeFile(f"{top}/{directory}/{name}", data))
    release = write_release(request, suite, architectures, listed)
    pointers.append(TreeFile(f"{top}/Release", Content.of(release.content)))
    if request.settings.signed:
        pointers.append(PendingSignature(f"{top}/Release.gpg", f"{top}/Release", SignatureForm.ARMOR))
        by_hash = f"{top}/by-hash/SHA256"
        pointers.append(PendingSignature(f"{top}/InRelease", f"{top}/Release", SignatureForm.CLEAR, by_hash))
    facts = {**release.facts, _ARCHITECTURES: kept} if kept else release.facts
    return Publication(suite, release.identity, tuple(content), tuple(pointers), facts)


def _arch_indexes(request: RenderRequest, suite: str, architecture: str, ordered: list[Entry]) -> dict[str, Content]:
    written: Written = request.memo.setdefault(f"{suite} {architecture}", {})
    shards = cut_shards((entry for entry in ordered if entry.fragment.arch in (architecture, _ALL)), written)
    return {
        "Packages": Content(tuple(shard.plain for shard in shards)),
        "Packages.gz": compress_gzip(shards, request.chunks),
        "Packages.xz": compress_xz(shards, request.chunks),
        "Release": Content.of(write_arch_release(request, suite, architecture)),
    }
