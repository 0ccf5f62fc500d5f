"""Renders a docker repository: a publication for each image, and one for the list of images.

Source: OCI Distribution Specification 1.1.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from packrat_agent.formats.docker.image_index import SIGNED, File, Naming, render_image
from packrat_agent.formats.docker.layout import HOST_CATALOG, NO_REFERRERS, SIGNATURE_API, public_host, public_prefix
from packrat_agent.formats.docker.serving import EMPTY_REFERRERS, ERRORS
from packrat_agent.formats.docker.signatures import write_policy, write_registries
from packrat_agent.formats.interface import RenderRequest, RenderSettings
from packrat_agent.model.entries import Entry
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, PendingFile, Publication, TreeFile, TreeLink

log = structlog.get_logger()

CATALOG = "_catalog"
"""Name of the publication with the list of images."""
_IMAGES = "images"
"""Key in the memo for the images of the last render."""


@dataclass(frozen=True, slots=True)
class _Rendered:
    """An image's publication and its inputs; `known` holds a pair of tag and SHA-256 of the package file for each tag.

    Until `good_until` (epoch seconds), rendering with the facts that the publication remembers gives it again.
    """

    naming: Naming
    facts: Mapping[str, str]
    known: frozenset[tuple[str, str]]
    publication: Publication
    good_until: float | None

    def still_holds(
        self, naming: Naming, facts: Mapping[str, str], known: frozenset[tuple[str, str]], now_s: int
    ) -> bool:
        """Return whether rendering would give the same publication again."""
        if self.good_until is not None and now_s >= self.good_until:
            return False
        return (self.naming, self.known) == (naming, known) and facts in (self.facts, self.publication.facts)


def render_images(request: RenderRequest) -> tuple[Publication, ...]:
    """Render all images, then the list of them; images that did not change since the last render are taken from it."""
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
    naming = Naming(scope, request.settings.signature_api, request.settings.grace_s)
    now_s = int(request.now.timestamp())
    before: dict[str, _Rendered] = request.memo.get(_IMAGES, {})
    rendered = {}
    for name, tags in sorted(images.items()):
        facts = request.facts.get(name, {})
        known = frozenset((tag, entry.file.sha256) for tag, entry in tags.items())
        last = before.get(name)
        if last is None or not last.still_holds(naming, facts, known, now_s):
            index = render_image(name, tags, naming, facts, now_s)
            # The names of a tree by an agent that did not remember them yet are published once more, to be remembered.
            identity = _identity(index.content, index.pointers, version=SIGNED if SIGNED in index.facts else "")
            publication = Publication(name, identity, tuple(index.content), tuple(index.pointers), index.facts)
            last = _Rendered(naming, facts, known, publication, index.good_until)
        rendered[name] = last
    request.memo[_IMAGES] = rendered
    catalog = _render_catalog(request.settings, scope, list(rendered))
    return (*(image.publication for image in rendered.values()), catalog)


def render_host(registries: Mapping[str, Iterable[str]], *, signature_api: bool) -> list[TreeFile]:
    """Render what clients ask the whole host for: the list of the images of all repositories.

    Args:
        registries: directory of a repository → the names of its publications.
        signature_api: whether the registries hand out signatures.
    """
    names = sorted(
        f"{directory}/{name}" for directory, published in registries.items() for name in published if name != CATALOG
    )
    files = [TreeFile(HOST_CATALOG, Content.of(json.dumps({"repositories": names}).encode() + b"\n"))]
    files.append(TreeFile(NO_REFERRERS, Content.of(EMPTY_REFERRERS)))
    if signature_api:
        files.append(TreeFile(SIGNATURE_API, Content.of(b"1\n")))
    return files


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


def _render_catalog(settings: RenderSettings, scope: str | None, images: Sequence[str]) -> Publication:
    pointers: list[File] = [TreeFile(f"v2/_errors/{name}.json", Content.of(text)) for name, text in ERRORS.items()]
    if scope is not None and settings.public_key is not None:
        directory = scope.partition("/")[2]
        url = f"{settings.public_url}/{directory}/sigstore"
        policy = write_policy(scope, settings.standalone_subkey or settings.public_key)
        pointers.append(TreeFile("sigstore/policy.json", Content.of(policy)))
        pointers.append(TreeFile("sigstore/registries.yaml", Content.of(write_registries(scope, url))))
    pointers.append(TreeFile("v2/index.html", Content.of(b"{}\n")))
    pointers.append(TreeFile("v2/_catalog", Content.of(json.dumps({"repositories": images}).encode() + b"\n")))
    return Publication(CATALOG, _identity((), pointers), (), tuple(pointers))


def _identity(*groups: Sequence[File], version: str = "") -> str:
    """Hash the whole content of a publication; a signature counts by the data that it signs."""
    digest = hashlib.sha256(version.encode())
    for file in (file for group in groups for file in group):
        match file:
            case TreeFile():
                said: tuple[bytes, ...] = (bytes(file.content),)
            case TreeLink():
                said = (file.target.encode(),)
            case PendingFile():
                said = file.quoting or tuple(map(bytes, file.signs))
        digest.update(f"{file.path}\0{' '.join(str(len(part)) for part in said)}\0".encode() + b"".join(said))
    return digest.hexdigest()
