"""Reads the image of an archive that is an OCI layout: `index.json` leads to manifests, these to blobs.

What is named must be there, with the size and, for manifests, the digest that names it; `payload` reads the blobs.

Source: OCI Image Layout Specification 1.1.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from packrat_core.errors import Refused
from packrat_core.packages.image.archive import ImageArchive
from packrat_core.packages.image.config import read_architecture, read_diff_ids
from packrat_core.packages.image.manifest import (
    CONFIG_LIMIT,
    MANIFEST_LIMIT,
    OCI_INDEX,
    Descriptor,
    Manifest,
    read_descriptors,
    read_manifest,
    read_object,
    write_index,
)
from packrat_core.packages.image.referrers import FALLBACK_TAG
from packrat_core.packages.image.rules import check_config, check_manifest
from packrat_core.text import count_of

INDEX_FILE = "index.json"
_DEPTH_LIMIT = 4
_MANIFESTS_LIMIT = 200
_CONFIGS_LIMIT = 64 * 1024 * 1024
"""Bytes of all configurations; one that many manifests name counts with each of them, since each reads it."""
_PARTS_LIMIT = 1_000_000
"""Blobs and manifests below all indexes; one counts with each index above it."""
_IMAGE_CONFIGS = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
_LAYERS = ("application/vnd.docker.image.rootfs.", "application/vnd.oci.image.layer.")
_UNCOMPRESSED = frozenset(
    {"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar"}
)
"""Types by which containerd unpacks a layer as it is; with Docker's types it looks at the bytes."""
_ENCRYPTED = "+encrypted"
_COSIGN = "dev.cosignproject.cosign/"
"""How `cosign save` begins the kind of each manifest in `index.json`: the image, or what it knows of that."""
_COSIGN_IMAGES = frozenset({f"{_COSIGN}image", f"{_COSIGN}imageIndex"})


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """An image as its archive describes it in `index.json`.

    Attributes:
        top: the digest of the top manifest.
        manifests: digest → (file name ending for its type, bytes).
        artifacts: the same of what is about the image or one of its manifests, but not a part of it.
        blobs: digest → descriptor.
        diff_ids: (digest of a layer, the digest of its plain bytes that a configuration names), each pair once.
        uncompressed: the digests of layers that the manifest of an image calls uncompressed.
        architectures: the architectures of the images.
    """

    top: str
    manifests: Mapping[str, tuple[str, bytes]]
    artifacts: Mapping[str, tuple[str, bytes]]
    blobs: Mapping[str, Descriptor]
    diff_ids: frozenset[tuple[str, str]]
    uncompressed: frozenset[str]
    architectures: frozenset[str]


class _Lacking(Refused):
    """A manifest names a blob or manifest that is not in the archive."""


@dataclass(slots=True)
class _Found:
    """The parts of an image that were found so far."""

    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, Descriptor] = field(default_factory=dict)
    diff_ids: set[tuple[str, str]] = field(default_factory=set)
    uncompressed: set[str] = field(default_factory=set)
    architectures: set[str] = field(default_factory=set)
    top: str = ""

    def add(self, other: "_Found") -> None:
        """Add the parts of another manifest."""
        self.manifests.update(other.manifests)
        self.blobs.update(other.blobs)
        self.diff_ids |= other.diff_ids
        self.uncompressed |= other.uncompressed
        self.architectures |= other.architectures


def blob_name(digest: str) -> str:
    """Return the name of a blob in the archive."""
    return f"blobs/{digest.replace(':', '/')}"


def read_layout(archive: ImageArchive) -> LayoutImage:
    """Read the image that `index.json` describes.

    Raises:
        Refused: it names no image or several, or something is unusable or not in the archive.
    """
    data = archive.read(INDEX_FILE, MANIFEST_LIMIT)
    named = read_descriptors(read_object(data, INDEX_FILE).get("manifests"), INDEX_FILE)
    if not named:
        raise Refused(f"its {INDEX_FILE} names no image")
    tops, about = _part(archive, named)
    walk = _Walk(archive)
    found = _read_image(archive, walk, tops, data if len(tops) == len(named) else write_index(data, tops))
    artifacts = _Found()
    for descriptor in _each_once(about):
        artifacts.add(walk.follow(_read_blob(archive, descriptor), descriptor.media_type))
    blobs = found.blobs | artifacts.blobs
    return LayoutImage(
        top=found.top,
        manifests=found.manifests,
        artifacts={digest: kept for digest, kept in artifacts.manifests.items() if digest not in found.manifests},
        blobs=blobs,
        diff_ids=frozenset(found.diff_ids | artifacts.diff_ids),
        uncompressed=frozenset(found.uncompressed | artifacts.uncompressed),
        architectures=frozenset(found.architectures - {""}),
    )


def _each_once(descriptors: Iterable[Descriptor]) -> Collection[Descriptor]:
    """Leave out descriptors of a manifest that is described before in the same words.

    Raises:
        Refused: there are too many manifests.
    """
    kept = {descriptor.identity: descriptor for descriptor in descriptors}
    if len(kept) > _MANIFESTS_LIMIT:
        raise Refused(f"it has more than {_MANIFESTS_LIMIT} manifests")
    return kept.values()


def _part(archive: ImageArchive, named: Sequence[Descriptor]) -> tuple[list[Descriptor], list[Descriptor]]:
    """Tell the descriptors of images from those of artifacts: manifests with a subject, and lists of such.

    A single manifest with a subject, uploaded on its own, counts as an image: it gets the tag of its file.
    """
    if len({descriptor.digest for descriptor in named}) == 1:
        return list(named), []
    # A signature of cosign has no subject: clients find it by a tag alone, which a file of its own gives it.
    published = [descriptor for descriptor in named if not _is_of_cosign(descriptor)]
    tops: list[Descriptor] = []
    about: list[Descriptor] = []
    manifests = {
        descriptor.identity: read_manifest(_read_blob(archive, descriptor), descriptor.media_type)
        for descriptor in _each_once(published)
    }
    for descriptor in published:
        manifest = manifests[descriptor.identity]
        if FALLBACK_TAG.fullmatch(descriptor.name.rpartition(":")[2]) and manifest.is_index:
            about += manifest.children
        else:
            (about if manifest.subject else tops).append(descriptor)
    if not tops:
        raise Refused(f"it holds {len(named)} artifacts and no image", hint="save each into a file of its own")
    return _without_parts(tops, manifests), about


def _without_parts(tops: Sequence[Descriptor], manifests: Mapping[tuple[str, str, int], Manifest]) -> list[Descriptor]:
    """Leave out the manifests that an index beside them names.

    oras lists all that it copies: an index, also one without a name, and the images in it. A manifest with a name of
    its own is another image to those who made the archive.
    """
    names: dict[str, set[str]] = {}
    for top in tops:
        for child in manifests[top.identity].children:
            names.setdefault(child.digest, set()).add(top.name)
    return [top for top in tops if top.digest not in names or (top.name and top.name not in names[top.digest])]


def _is_of_cosign(descriptor: Descriptor) -> bool:
    annotations = descriptor.record.get("annotations")
    kind = annotations.get("kind") if isinstance(annotations, dict) else None
    return isinstance(kind, str) and kind.startswith(_COSIGN) and kind not in _COSIGN_IMAGES


def _read_image(archive: ImageArchive, walk: "_Walk", tops: Sequence[Descriptor], index: bytes) -> _Found:
    """Read the one image that the descriptors stand for.

    Several descriptors with one digest are tags of one image. Several digests under one name are platforms of one
    image, and `index` serves as their index.
    """
    if len({top.digest for top in tops}) == 1:
        return walk.follow(_read_blob(archive, tops[0]), tops[0].media_type)
    if len({top.name for top in tops}) == 1:
        return walk.follow(index, OCI_INDEX)
    # What only an inner index names may stand beside the outer one, without that inner index.
    with_names = {top.digest: top for top in tops if top.name}
    if len(with_names) == 1:
        (top,) = with_names.values()
        found = walk.follow(_read_blob(archive, top), top.media_type)
        if all(other.digest in found.manifests for other in tops):
            return found
    raise Refused(f"it holds {len(tops)} images", hint="save each into a file of its own")


class _Walk:
    """Follows manifests down to their blobs, and reads each only once however often it is named."""

    def __init__(self, archive: ImageArchive) -> None:
        self._archive = archive
        self._known: dict[tuple[str, str, int], _Found | None] = {}
        self._configs_left = _CONFIGS_LIMIT
        self._parts_left = _PARTS_LIMIT

    def follow(self, data: bytes, media_type: str, depth: int = 0) -> _Found:
        """Collect the parts of a manifest; an index is rewritten without the images that are not in the archive.

        Args:
            data: the bytes of the manifest.
            media_type: the media type by which it is named; '' if there is none.
            depth: the number of indexes above it.

        Raises:
            Refused: a manifest is unusable, or there are too many or too deeply nested ones.
            _Lacking: a blob is missing, or all images of an index.
        """
        if depth > _DEPTH_LIMIT:
            raise Refused(f"its indexes are nested more than {_DEPTH_LIMIT} deep")
        manifest = read_manifest(data, media_type)
        check_manifest(data)
        found = _Found()
        if manifest.is_index:
            in_archive = {child.identity: self._add(found, child, depth + 1) for child in _each_once(manifest.children)}
            kept = [child for child in manifest.children if in_archive[child.identity]]
            if not kept:
                raise _Lacking("its index names no image that is in the archive")
            if len(kept) < len(manifest.children):
                data = write_index(data, kept)
        else:
            self._add_blobs(found, manifest)
        found.top = digest_of(data)
        found.manifests[found.top] = (manifest.end, data)
        return found

    def _add(self, found: _Found, child: Descriptor, depth: int) -> bool:
        """Add an image that an index names; return False if it is not in the archive."""
        if child.identity not in self._known:
            if len(self._known) >= _MANIFESTS_LIMIT:
                raise Refused(f"it has more than {_MANIFESTS_LIMIT} manifests")
            try:
                self._known[child.identity] = self.follow(_read_blob(self._archive, child), child.media_type, depth)
            except _Lacking:
                self._known[child.identity] = None
        below = self._known[child.identity]
        if below is None:
            return False
        if below.top != child.digest:
            # The inner index was rewritten and has another digest now, which the outer one does not name.
            raise Refused("an index in its index names images that are not in the archive")
        self._parts_left -= len(below.blobs) + len(below.manifests)
        if self._parts_left < 0:
            raise Refused("its indexes name too much, again and again")
        found.add(below)
        return True

    def _add_blobs(self, found: _Found, manifest: Manifest) -> None:
        for blob in (manifest.config, *manifest.layers):
            # Layers that clients fetch from another address need not be in the archive.
            if blob is None or (blob.elsewhere and not self._archive.has(blob_name(blob.digest))):
                continue
            if not self._archive.has(blob_name(blob.digest)):
                raise _Lacking(f"its manifest names {blob.digest}, which is not in the archive")
            # Each descriptor must be right: of one that is described twice, clients may take either.
            if self._archive.find(blob_name(blob.digest)).size != blob.size:
                raise Refused(f"the bytes of its blob {blob.digest} are not those that its manifest names")
            found.blobs[blob.digest] = blob
            # Nobody unpacks the files of an artifact; oras calls them all by this type, whatever they are.
            if blob.media_type in _UNCOMPRESSED and _is_image(manifest):
                found.uncompressed.add(blob.digest)
        if manifest.config is not None:
            config = self._archive.read(blob_name(manifest.config.digest), CONFIG_LIMIT)
            self._configs_left -= len(config)
            if self._configs_left < 0:
                raise Refused(f"its configurations have more than {_CONFIGS_LIMIT} bytes")
            found.architectures.add(read_architecture(config))
            found.diff_ids |= pair_layers(manifest, config)


def _is_image(manifest: Manifest) -> bool:
    return manifest.config is not None and manifest.config.media_type in _IMAGE_CONFIGS


def pair_layers(manifest: Manifest, config: bytes) -> set[tuple[str, str]]:
    """Pair the layers of an image with the diff_ids in its configuration; an artifact's blobs have none.

    Raises:
        Refused: a layer has no type, or the configuration names another number of layers, or clients can't read it.
    """
    if not _is_image(manifest):
        return set()
    nameless = next((layer.digest for layer in manifest.layers if not layer.media_type), "")
    if nameless:
        raise Refused(f"its layer {nameless} has no media type, without which containerd takes no image")
    # Signatures and attestations come with the configuration of an image too, but none of their blobs is a layer.
    is_layer = [layer.media_type.startswith(_LAYERS) for layer in manifest.layers]
    if not any(is_layer):
        return set()
    diff_ids = read_diff_ids(config)
    if len(diff_ids) != len(manifest.layers):
        raise Refused(f"it has {count_of(len(manifest.layers), 'layer')}, its configuration names {len(diff_ids)}")
    check_config(config)
    pairs = zip(manifest.layers, diff_ids, is_layer, strict=True)
    # What is encrypted has its plain bytes only for those who have a key.
    return {
        (layer.digest, diff_id) for layer, diff_id, held in pairs if held and not layer.media_type.endswith(_ENCRYPTED)
    }


def digest_of(data: bytes) -> str:
    """Return the digest of bytes, as descriptors have it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _read_blob(archive: ImageArchive, descriptor: Descriptor) -> bytes:
    """Read a manifest that a descriptor names, and check its size and digest.

    Raises:
        Refused: it is larger than a manifest may be, or its bytes do not match the descriptor.
        _Lacking: it is not in the archive.
    """
    name = blob_name(descriptor.digest)
    if not archive.has(name):
        raise _Lacking(f"{descriptor.digest} is not in the archive")
    data = archive.read(name, MANIFEST_LIMIT)
    if len(data) != descriptor.size or digest_of(data) != descriptor.digest:
        raise Refused(f"its {descriptor.digest} has other bytes than its digest says")
    return data
