"""The docker repository type: publishes images as files from which a web server answers as a registry does.

`read` opens the image archive; every other method works on values alone.

Source: OCI Distribution Specification 1.1.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from packrat_agent.formats.distro_versions import version_of
from packrat_agent.formats.docker.htaccess import Named, write_htaccess
from packrat_agent.formats.docker.names import (
    LATEST,
    check_image,
    check_tag,
    public_host,
    public_prefix,
)
from packrat_agent.formats.docker.read_image import read_image
from packrat_agent.formats.docker.serving import ERRORS, write_rules
from packrat_agent.formats.docker.signatures import sign_manifest, write_policy, write_registries
from packrat_agent.formats.interface import ClientSetup, RenderRequest, RenderSettings, Treatment, WebRules, WebServer
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.model.tree import Content, PendingSignature, Publication, QuotingFile, Tree, TreeFile, TreeLink
from packrat_core.errors import Refused
from packrat_core.packages.image.versions import latest_of, version_order

log = structlog.get_logger()

_CATALOG = "_catalog"
_IMAGES = "images"
"""Key in the memo for the images of the last render."""
_EARLIER_LIMIT = 200
"""Number of withdrawn manifests whose types Apache still knows: their files stay on disk for a while."""

_File = TreeFile | TreeLink | QuotingFile | PendingSignature


@dataclass(frozen=True, slots=True)
class _Rendered:
    """An image's publication and its inputs; `known` holds a pair of tag and SHA-256 of the package file for each tag.

    Rendering with the facts that the publication remembers gives the same publication again.
    """

    scope: str | None
    facts: Mapping[str, str]
    known: frozenset[tuple[str, str]]
    publication: Publication

    def still_holds(self, scope: str | None, facts: Mapping[str, str], known: frozenset[tuple[str, str]]) -> bool:
        """Return whether rendering would give the same publication again."""
        return (self.scope, self.known) == (scope, known) and facts in (self.facts, self.publication.facts)


class DockerFormat:
    """`Format` for docker."""

    kind = "docker"
    treatment = Treatment.UNPACKED
    fragment_version = 1

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Place the image in v2/<image>; its version becomes a tag."""
        if file.kind != "docker" or not file.file_name.endswith(".tar"):
            raise Refused(
                f"a {file.kind} file called {file.file_name} can't be in a docker repository; "
                "an image is a .tar as `docker save` writes it"
            )
        version_of(repo, file)
        check_tag(file.version)
        return f"v2/{check_image(file.package)}"

    def read(self, path: Path, into: Path) -> Fragment:
        """Take the manifests and the blobs out of the archive as products."""
        return read_image(path, into)

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Accept every archive: users save images under all sorts of names, and only the record's name counts."""

    def render(self, request: RenderRequest) -> Tree:
        """Render one publication for each image, then the catalog; unchanged images are not rendered again."""
        images: dict[str, dict[str, Entry]] = {}
        for entry in request.entries:
            tags = images.setdefault(entry.file.package, {})
            other = tags.setdefault(entry.file.version, entry)
            # A tag can name one image only, so of two different archives the newer record wins.
            if other.file.sha256 != entry.file.sha256:
                newest = max(other, entry, key=lambda entry: entry.file.record_order)
                tags[entry.file.version] = newest
                log.warning("duplicate", image=entry.file.package, tag=entry.file.version, kept=newest.file.uri)
        scope = _scope(request.repo, request.settings)
        before: dict[str, _Rendered] = request.memo.get(_IMAGES, {})
        rendered = {}
        for name, tags in sorted(images.items()):
            facts = request.facts.get(name, {})
            known = frozenset((tag, entry.file.sha256) for tag, entry in tags.items())
            last = before.get(name)
            if last is None or not last.still_holds(scope, facts, known):
                publication = _render_image(name, tags, f"{scope}/{name}" if scope else None, facts)
                last = _Rendered(scope, facts, known, publication)
            rendered[name] = last
        request.memo[_IMAGES] = rendered
        catalog = _render_catalog(request.settings, scope, list(rendered))
        return Tree(request.repo, (*(one.publication for one in rendered.values()), catalog))

    def client_setup(self, repo: Repo, url: str, signed: bool) -> tuple[ClientSetup, ...]:
        """Give the command that pulls an image, and a note on the signature policy if images are signed."""
        scheme, _, rest = url.partition("://")
        without_tls = "--tls-verify=false " if scheme == "http" else ""
        lines = [f"podman pull {without_tls}{rest.partition('/')[0]}/{repo.directory}/IMAGE:latest"]
        if signed:
            policy = f"{url}/{repo.directory}/sigstore/policy.json"
            lines.append(f"# Signatures: add the entry of {policy} to /etc/containers/policy.json")
        return (ClientSetup("", "\n".join(lines)),)

    def signed_part(self, repo: Repo, settings: RenderSettings) -> str | None:
        """Name the manifests, if the name that clients pull by is known; a signature covers this name."""
        if public_prefix(repo) is None or public_host(settings.public_url) is None:
            return None
        return "every manifest; only clients with a signature policy check it"

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give the rules for the types of manifests, for answers in JSON, and for the addresses of a registry."""
        prefix = public_prefix(repo)
        return write_rules(server, prefix, root) if prefix is not None else WebRules()


def _scope(repo: Repo, settings: RenderSettings) -> str | None:
    """Return `<host>/<directory>`, with which the signed references begin; None if nothing is signed."""
    prefix, host = public_prefix(repo), public_host(settings.public_url)
    if prefix is None:
        log.warning(
            "unreachable",
            repo=repo.name,
            text=f"the directory {repo.directory} can't be part of an image's name: only lower-case letters, digits, "
            "and single . _ - between them; give the repository another directory",
        )
    return f"{host}/{prefix}" if settings.signed and prefix is not None and host is not None else None


def _manifests(entry: Entry) -> list[tuple[str, str]]:
    """List (digest, file name ending) of each manifest of an image, the top one first."""
    line = entry.fragment.body.partition(b"\n")[0].decode()
    return [(digest, end) for digest, _, end in (one.partition(".") for one in line.split(" "))]


def _render_image(
    image: str, entries: Mapping[str, Entry], public_name: str | None, facts: Mapping[str, str]
) -> Publication:
    tagged = {tag: entries[tag] for tag in sorted(entries, key=version_order)}
    latest = latest_of(entries)
    if latest is not None:
        # `latest` is derived only if nobody uploaded an image under that version.
        tagged.setdefault(LATEST, entries[latest])
    ends: dict[str, str] = {}
    tags_of: dict[str, list[str]] = {}
    named: list[Named] = []
    pointers: list[_File] = []
    for tag, entry in tagged.items():
        manifests = _manifests(entry)
        ends.update(manifests)
        for digest, _ in manifests:
            tags_of.setdefault(digest, []).append(tag)
        top, end = manifests[0]
        named.append(Named(tag, end, top))
        pointers.append(TreeLink(f"v2/{image}/_refs/{tag}", top))
        pointers.append(TreeFile(f"v2/{image}/manifests/{tag}", Content.of(entry.fragment.body.partition(b"\n")[2])))
    content: list[_File] = []
    for digest in sorted(tags_of):
        content += sign_manifest(image, public_name, digest, tags_of[digest])
    earlier = _earlier(facts, ends)
    named += [Named(digest, end, digest) for digest, end in sorted({**earlier, **ends}.items())]
    # First, so that Apache knows the type of a manifest before the manifest appears.
    pointers.insert(0, TreeFile(f"v2/{image}/manifests/.htaccess", Content.of(write_htaccess(named))))
    listed = {"name": image, "tags": sorted(tagged)}
    pointers.append(TreeFile(f"v2/{image}/tags/list", Content.of(json.dumps(listed).encode() + b"\n")))
    remembered = {"manifests": _joined(ends), "earlier": _joined(earlier)}
    return Publication(image, _identity(content, pointers), tuple(content), tuple(pointers), remembered)


def _earlier(facts: Mapping[str, str], ends: Mapping[str, str]) -> dict[str, str]:
    """Return digest → file name ending of the manifests that left the image, the most recent last."""
    known = [*facts.get("earlier", "").split(), *facts.get("manifests", "").split()]
    gone = {digest: end for digest, _, end in (one.partition(".") for one in known) if digest not in ends}
    return dict(list(gone.items())[-_EARLIER_LIMIT:])


def _joined(ends: Mapping[str, str]) -> str:
    return " ".join(f"{digest}.{end}" for digest, end in ends.items())


def _render_catalog(settings: RenderSettings, scope: str | None, images: Sequence[str]) -> Publication:
    pointers: list[_File] = [TreeFile(f"v2/_errors/{name}.json", Content.of(text)) for name, text in ERRORS.items()]
    if scope is not None and settings.public_key is not None:
        directory = scope.partition("/")[2]
        url = f"{settings.public_url}/{directory}/sigstore"
        policy = write_policy(scope, settings.standalone_subkey or settings.public_key)
        pointers.append(TreeFile("sigstore/policy.json", Content.of(policy)))
        pointers.append(TreeFile("sigstore/registries.yaml", Content.of(write_registries(scope, url))))
    pointers.append(TreeFile("v2/index.html", Content.of(b"{}\n")))
    pointers.append(TreeFile("v2/_catalog", Content.of(json.dumps({"repositories": images}).encode() + b"\n")))
    return Publication(_CATALOG, _identity((), pointers), (), tuple(pointers))


def _identity(*groups: Sequence[_File]) -> str:
    """Hash the whole content of a publication; a signature counts by the data that it signs."""
    digest = hashlib.sha256()
    for file in (file for group in groups for file in group):
        match file:
            case TreeFile():
                said: tuple[bytes, ...] = (bytes(file.content),)
            case TreeLink():
                said = (file.target.encode(),)
            case QuotingFile():
                said = file.text
            case PendingSignature():
                said = (file.data or b"",)
        digest.update(f"{file.path}\0{' '.join(str(len(one)) for one in said)}\0".encode() + b"".join(said))
    return digest.hexdigest()
