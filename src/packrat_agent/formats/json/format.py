"""The json repository type: publishes files of any kind, with a signed manifest and a list of checksums."""

from pathlib import Path

from packrat_agent.formats.interface import RenderRequest, RenderSettings, Treatment, WebRules, WebServer
from packrat_agent.formats.json.manifest import write_manifest, write_sums
from packrat_agent.formats.versions import version_of
from packrat_agent.model.entries import Fragment
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.model.tree import Content, PendingSignature, Publication, SignatureForm, Tree, TreeFile, sha256_of
from packrat_core.errors import Refused
from packrat_core.repository_types import REPOSITORY_TYPES

MANIFEST = "_repo_main/MANIFEST_all.json"
SUMS = "SHA256SUMS"

_OTHERS = {known.file_type: kind for kind, known in REPOSITORY_TYPES.items() if known.file_type is not None}
"""File type → the repository type that is meant for it."""

_OURS = frozenset({"_repo_main", SUMS, f"{SUMS}.gpg", f"{SUMS}.asc"})


class FilesFormat:
    """`Format` for json."""

    kind = "json"
    treatment = Treatment.AS_IS
    fragment_version = 1

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Place the file at <package>/<file>."""
        if file.kind in _OTHERS:
            other = _OTHERS[file.kind]
            raise Refused(f"a {file.kind} file called {file.file_name} belongs into a repository of type {other}")
        version_of(repo, file)
        if file.package in _OURS:
            raise Refused(
                f"a package can't be called {file.package}: the repository has a file or directory of that name"
            )
        return f"{file.package}/{file.file_name}"

    def read(self, path: Path, into: Path) -> Fragment:
        """Return an empty fragment: all that the manifest says of a file is in the server's record."""
        return Fragment(b"", "", "", "")

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Accept every file: package and version are known from the server alone."""

    def render(self, request: RenderRequest) -> Tree:
        """Render one publication that lists each path once, with its oldest record."""
        entries = {entry.path: entry for entry in reversed(request.entries)}.values()
        sums = TreeFile(SUMS, Content.of(write_sums(entries)))
        manifest = TreeFile(MANIFEST, Content.of(write_manifest(entries)))
        pointers: tuple[TreeFile | PendingSignature, ...] = (sums, manifest)
        if request.settings.signed:
            pointers = (
                sums,
                PendingSignature(f"{SUMS}.gpg", SUMS, SignatureForm.BINARY),
                PendingSignature(f"{SUMS}.asc", SUMS, SignatureForm.ARMOR),
                manifest,
                PendingSignature(f"{MANIFEST}.gpg", MANIFEST, SignatureForm.BINARY),
            )
        said = f"{request.settings.signed}\n".encode()
        identity = sha256_of((said, *sums.content.parts, *manifest.content.parts))
        return Tree(request.repo, (Publication("main", identity, (), pointers),))

    def client_setup(self, repo: Repo, url: str, signed: bool) -> str:
        """Give the commands that download and check the list and a file."""
        here = f"{url}/{repo.directory}"
        lines = [f"curl -fsSO {here}/{SUMS}"]
        if signed:
            lines += [
                f"curl -fsSO {url}/repo-key.gpg -O {here}/{SUMS}.gpg",
                f"gpgv --keyring ./repo-key.gpg {SUMS}.gpg {SUMS}",
            ]
        get = f"curl -fsS --create-dirs -o PACKAGE/FILE {here}/PACKAGE/FILE"
        return "\n".join([*lines, get, f"sha256sum -c --ignore-missing {SUMS}"])

    def signed_part(self, repo: Repo, settings: RenderSettings) -> str | None:
        """Name the lists; their hashes cover the files."""
        return f"the lists {SUMS} and {MANIFEST.rpartition('/')[2]}; through their hashes, the files"

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give no rules: clients read plain files."""
        return WebRules()
