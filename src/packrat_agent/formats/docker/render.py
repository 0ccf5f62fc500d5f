"""Renders a docker repository: a publication for each image, and one for the list of images.

A change renders the images that it touches; the other ones are those of the last render.

Source: OCI Distribution Specification 1.1.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from packrat_agent.formats.docker.image_files import File, hash_files
from packrat_agent.formats.docker.image_index import ImageIndex, Naming, render_image
from packrat_agent.formats.docker.layout import (
    CATALOG,
    HOST_CATALOG,
    NO_REFERRERS,
    SIGNATURE_API,
    public_host,
    public_prefix,
)
from packrat_agent.formats.docker.serving import EMPTY_REFERRERS, ERRORS
from packrat_agent.formats.docker.signatures import write_policy, write_registries
from packrat_agent.formats.docker.tagged_images import TaggedImages
from packrat_agent.formats.interface import RenderRequest, RenderSettings
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, Publication, TreeFile
from packrat_core.packages.image.names import GREETING

log = structlog.get_logger()

_LAST = "last"
"""Key in the memo for the last render."""


@dataclass(slots=True)
class _LastRender:
    """What is tagged, and the index of each image."""

    images: TaggedImages = field(default_factory=TaggedImages)
    indexes: dict[str, ImageIndex] = field(default_factory=dict)


def render_images(request: RenderRequest) -> tuple[Publication, ...]:
    """Render the images that changed, and the list of all."""
    last: _LastRender = request.memo.setdefault(_LAST, _LastRender())
    change = request.change
    if change is None:
        last.images = TaggedImages()
        last.images.replace((), request.entries)
        touched: Mapping[str, Collection[str] | None] = dict.fromkeys(last.images.names())
    else:
        touched = last.images.replace(change.gone, change.new)
    scope = _scope(request.repo, request.settings)
    naming = Naming(scope, request.settings.signature_api, request.settings.grace_s, request.settings.image_signers)
    now_s = int(request.now.timestamp())
    indexes = {}
    for name in sorted(last.images.names()):
        facts, index = request.facts.get(name, {}), last.indexes.get(name)
        if index is None or name in touched or not index.still_holds(naming, facts, now_s):
            index = render_image(name, last.images.tags(name), naming, facts, now_s, index, touched.get(name, ()))
        indexes[name] = index
    last.indexes = indexes
    if change is None and _LAST in request.kept:
        _tell_what_differs(request.repo, last, request.kept[_LAST], now_s)
    catalog = _render_catalog(request.settings, scope, list(indexes))
    return (*(index.publication for index in indexes.values()), catalog)


def _tell_what_differs(repo: Repo, made: _LastRender, kept: _LastRender, now_s: int) -> None:
    """Compare what changes have left with what was made from nothing, which is published.

    Args:
        repo: The repository.
        made: What was made from nothing.
        kept: What changes have left.
        now_s: The date of the render, in epoch seconds.
    """
    for name, index in made.indexes.items():
        known = kept.indexes.get(name)
        if known is None or not known.still_holds(index.naming, index.facts, now_s):
            continue
        is_same = known.publication.identity == index.publication.identity
        if not is_same and kept.images.tags(name) == made.images.tags(name):
            log.warning("differs", repo=repo.name, index=name, text="the index was rebuilt")


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
    pointers.append(TreeFile(f"v2/{GREETING}", Content.of(b"{}\n")))
    pointers.append(TreeFile("v2/_catalog", Content.of(json.dumps({"repositories": images}).encode() + b"\n")))
    return Publication(CATALOG, hash_files(pointers).hex(), (), tuple(pointers))
