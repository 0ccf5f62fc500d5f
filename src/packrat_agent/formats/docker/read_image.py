"""Takes an image out of an archive that `docker save`, podman, skopeo or buildx wrote.

An archive describes its image as an OCI layout (index.json), in the classic way (manifest.json), or in both ways. The
layout keeps the image's digests, so it is preferred. The blobs and manifests are written to a directory as products.

Source: OCI Image Layout Specification 1.1; the archives of docker 1.10 to 28.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from packrat_agent.model.entries import Fragment, Product
from packrat_core.errors import Refused
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.packages.image.archive import Archive
from packrat_core.packages.image.inspect import CLASSIC_FILE, INDEX_FILE
from packrat_core.packages.image.manifest import (
    CONFIG_LIMIT,
    MANIFEST_LIMIT,
    OCI_INDEX,
    Descriptor,
    Manifest,
    read_descriptors,
    read_json,
    read_list,
    read_manifest,
    read_object,
    write_index,
    write_schema_2,
)

_DEPTH_LIMIT = 4
_MANIFESTS_LIMIT = 200


class _Lacking(Refused):
    """A manifest names a blob or manifest that is not in the archive."""


@dataclass(slots=True)
class _Found:
    """The parts of an image.

    Attributes:
        manifests: digest → (file name ending for its type, bytes).
        blobs: digest → descriptor.
        architectures: the architectures of the images.
        top: the digest of the top manifest.
    """

    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, Descriptor] = field(default_factory=dict)
    architectures: set[str] = field(default_factory=set)
    top: str = ""


def read_image(path: Path, into: Path) -> Fragment:
    """Take the image out of an archive.

    Args:
        path: the archive.
        into: the directory for the products, each named by its SHA-256; it is left as it was if anything is raised.

    Returns:
        A fragment whose body is a line with `<digest>.<ending>` of each manifest, the top one first, and then the bytes
        of the top manifest. Its products are the blobs and manifests.

    Raises:
        Refused: the file is not an image archive, is torn or hostile, or holds several images.
        DiskError: a file can't be read or written.
    """
    with as_disk_error("unpack", path), path.open("rb") as file:
        archive = Archive(file, into)
        try:
            return _read(archive)
        except BaseException:
            archive.discard()
            raise


def _read(archive: Archive) -> Fragment:
    if not archive.has(INDEX_FILE):
        if not archive.has(CLASSIC_FILE):
            raise Refused(f"it is no image archive: it has neither {INDEX_FILE} nor {CLASSIC_FILE}")
        return _read_classic(archive)
    try:
        return _read_layout(archive)
    except Refused:
        if not archive.has(CLASSIC_FILE):
            raise
    # The layout is unusable, for example because blobs are missing; the classic description may still be complete.
    archive.discard()
    return _read_classic(archive)


def _read_layout(archive: Archive) -> Fragment:
    data = archive.read(INDEX_FILE, MANIFEST_LIMIT)
    tops = read_descriptors(read_object(data, INDEX_FILE).get("manifests"), INDEX_FILE)
    if not tops:
        raise Refused(f"its {INDEX_FILE} names no image")
    media_type = OCI_INDEX
    # Several entries with one digest are tags of one image. Several digests under one name are platforms of one image,
    # and index.json serves as its index.
    if len({one.digest for one in tops}) == 1:
        data, media_type = _read_blob(archive, tops[0], MANIFEST_LIMIT), tops[0].media_type
    elif len({one.name for one in tops}) > 1:
        raise Refused(f"it holds {len(tops)} images; save each into a file of its own")
    found = _Walk(archive).follow(data, media_type)
    products = []
    for digest, descriptor in found.blobs.items():
        taken = archive.take(_blob(digest))
        if f"sha256:{taken.sha256}" != digest or taken.size != descriptor.size:
            raise Refused(f"the bytes of its blob {digest} are not those that its manifest names")
        products.append(Product(f"blobs/{digest}", taken.sha256, taken.size))
    return _fragment(archive, found, products)


class _Walk:
    """Follows manifests down to their blobs, and reads each only once however often it is named."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._known: dict[str, _Found | None] = {}

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
        found = _Found()
        if manifest.is_index:
            kept = [child for child in manifest.children if self._add(found, child, depth + 1)]
            if not kept:
                raise _Lacking("its index names no image that is in the archive")
            if len(kept) < len(manifest.children):
                data = write_index(data, kept)
        else:
            self._add_blobs(found, manifest)
        found.top = _digest(data)
        found.manifests[found.top] = (manifest.end, data)
        return found

    def _add(self, found: _Found, child: Descriptor, depth: int) -> bool:
        """Add an image that an index names; return False if it is not in the archive."""
        if child.digest not in self._known:
            if len(self._known) >= _MANIFESTS_LIMIT:
                raise Refused(f"it has more than {_MANIFESTS_LIMIT} manifests")
            try:
                data = _read_blob(self._archive, child, MANIFEST_LIMIT)
                self._known[child.digest] = self.follow(data, child.media_type, depth)
            except _Lacking:
                self._known[child.digest] = None
        below = self._known[child.digest]
        if below is None:
            return False
        if below.top != child.digest:
            # The inner index was rewritten and has another digest now, which the outer one does not name.
            raise Refused("an index in its index names images that are not in the archive")
        found.manifests.update(below.manifests)
        found.blobs.update(below.blobs)
        found.architectures |= below.architectures
        return True

    def _add_blobs(self, found: _Found, manifest: Manifest) -> None:
        for one in (manifest.config, *manifest.layers):
            # Layers that clients fetch from another address need not be in the archive.
            if one is None or (one.elsewhere and not self._archive.has(_blob(one.digest))):
                continue
            if not self._archive.has(_blob(one.digest)):
                raise _Lacking(f"its manifest names {one.digest}, which is not in the archive")
            found.blobs[one.digest] = one
        if manifest.config is not None:
            config = self._archive.read(_blob(manifest.config.digest), CONFIG_LIMIT)
            found.architectures.add(_architecture(config))


def _read_classic(archive: Archive) -> Fragment:
    images = read_list(read_json(archive.read(CLASSIC_FILE, MANIFEST_LIMIT), CLASSIC_FILE), CLASSIC_FILE)
    if len(images) != 1 or not isinstance(images[0], dict):
        raise Refused(f"its {CLASSIC_FILE} names {len(images)} images; save each into a file of its own")
    config_name = images[0].get("Config")
    if not isinstance(config_name, str):
        raise Refused(f"its {CLASSIC_FILE} names no configuration")
    config = archive.read(config_name, CONFIG_LIMIT)
    layers = read_list(images[0].get("Layers") or [], "list of layers")
    root = read_object(config, "configuration").get("rootfs")
    expected = read_list(root.get("diff_ids") or [] if isinstance(root, dict) else None, "list of diff_ids")
    if len(layers) != len(expected):
        raise Refused(f"it has {len(layers)} layers, its configuration names {len(expected)}")
    taken = archive.put(config)
    products = {f"sha256:{taken.sha256}": taken.size}
    listed = []
    for name, diff_id in zip(layers, expected, strict=True):
        if not isinstance(name, str):
            raise Refused(f"its {CLASSIC_FILE} names a layer that is no text")
        layer = archive.take(name, as_gzip=True)
        # The configuration names layers by their uncompressed bytes. A layer that was stored as gzip is taken as it is,
        # so both digests are equal and diff_id can't be compared.
        if layer.plain != layer.sha256 and f"sha256:{layer.plain}" != diff_id:
            raise Refused(f"the bytes of its layer {name[:120]} are not those that its configuration names")
        listed.append((layer.sha256, layer.size))
        products[f"sha256:{layer.sha256}"] = layer.size
    found = _Found(architectures={_architecture(config)})
    data = write_schema_2((taken.sha256, taken.size), listed)
    found.top = _digest(data)
    found.manifests[found.top] = ("dkrm", data)
    blobs = [Product(f"blobs/{digest}", digest[7:], size) for digest, size in products.items()]
    return _fragment(archive, found, blobs)


def _fragment(archive: Archive, found: _Found, products: list[Product]) -> Fragment:
    """Write the manifests as products and assemble the fragment; `read_image` describes its body."""
    for digest, (end, data) in found.manifests.items():
        taken = archive.put(data)
        products.append(Product(f"manifests/{digest}", taken.sha256, taken.size))
        products.append(Product(f"_refs/{digest}/manifest.{end}", taken.sha256, taken.size))
    ordered = [found.top, *sorted(digest for digest in found.manifests if digest != found.top)]
    line = " ".join(f"{digest}.{found.manifests[digest][0]}" for digest in ordered)
    body = line.encode() + b"\n" + found.manifests[found.top][1]
    return Fragment(body, "", "", ",".join(sorted(found.architectures - {""})) or "all", tuple(products))


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _read_blob(archive: Archive, descriptor: Descriptor, limit: int) -> bytes:
    """Read a blob that a descriptor names, and check its size and digest.

    Raises:
        Refused: the blob is larger than the limit, or its bytes do not match the descriptor.
        _Lacking: the blob is not in the archive.
    """
    name = _blob(descriptor.digest)
    if not archive.has(name):
        raise _Lacking(f"{descriptor.digest} is not in the archive")
    data = archive.read(name, limit)
    if len(data) != descriptor.size or _digest(data) != descriptor.digest:
        raise Refused(f"the bytes of {descriptor.digest} in it are others")
    return data


def _architecture(config: bytes) -> str:
    """Return the architecture that a configuration names; '' if it names none, as that of an attestation."""
    try:
        architecture = json.loads(config).get("architecture")
    except (ValueError, RecursionError, AttributeError):
        return ""
    return architecture if isinstance(architecture, str) and architecture.isalnum() and len(architecture) < 20 else ""
