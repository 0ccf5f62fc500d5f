"""Reads an image archive to the end: the one judge of images, at upload and in the agent.

1. The layout (`index.json`) counts; the classic description (`manifest.json`) does where there is no usable layout.
2. Every blob that the image is made of has the size and the digest by which it is named.
3. Every layer, once decompressed, has the digest that the configuration names (its diff_id): docker and containerd
   refuse others. An encrypted one is taken as it is.
4. A layer that its media type calls uncompressed is: containerd does not look at the bytes.

Source: OCI Image Format Specification 1.1, "Layer DiffID".
"""

import hashlib
from typing import BinaryIO

from packrat_core.archives.compressed_stream import open_compressed
from packrat_core.archives.plain_stream import READ_BYTES, Readable
from packrat_core.archives.tar import TarMember
from packrat_core.errors import Refused
from packrat_core.packages.image.archive import ImageArchive
from packrat_core.packages.image.classic import CLASSIC_FILE, ClassicImage, ClassicLayer, read_classic
from packrat_core.packages.image.layout import INDEX_FILE, LayoutImage, blob_name, read_layout
from packrat_core.packages.parts import naming

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of a compressed layer → its compression; registries allow only these two."""
_MAGIC_BYTES = 4
_SKIPPABLE = b"\x2a\x4d\x18"
"""How a zstd frame without content goes on after its first byte, which is 0x50 to 0x5f.

Source: RFC 8878, section 3.1.2.
"""


def check_payload(file: BinaryIO) -> None:
    """Read an image archive to its end.

    Raises:
        Refused: it is not an archive of one image, or is torn, damaged or a decompression bomb.
    """
    read_image(ImageArchive(file))


def read_image(archive: ImageArchive) -> LayoutImage | ClassicImage:
    """Return the image of an archive, with every byte of it checked.

    Raises:
        Refused: it is not an archive of one image, or is torn, damaged or a decompression bomb.
    """
    has_classic = archive.has(CLASSIC_FILE)
    if archive.has(INDEX_FILE):
        try:
            layout = read_layout(archive)
            _check_layout(archive, layout)
            return layout
        except Refused:
            # For example, blobs are missing that an older docker did not save. The other description may be complete.
            if not has_classic:
                raise
    elif not has_classic:
        raise Refused(f"it is not an image archive: it has neither {INDEX_FILE} nor {CLASSIC_FILE}")
    classic = read_classic(archive)
    _check_classic(archive, classic)
    return classic


def find_compression(archive: ImageArchive, member: TarMember) -> str:
    """Return how a layer is compressed, `gzip` or `zstd`; '' if it is not."""
    start = archive.open(member).read(_MAGIC_BYTES)
    return next((coding for magic, coding in _MAGIC.items() if start.startswith(magic)), "")


class _Hashing:
    """An open file that hashes what is read of it."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        data = self._source.read(size)
        self.digest.update(data)
        return data


def _check_layout(archive: ImageArchive, image: LayoutImage) -> None:
    """Check the blobs of a layout.

    Raises:
        Refused: one is of another size or has other bytes than its name says, or can't be decompressed.
    """
    layers = {digest for digest, _ in image.diff_ids}
    plain: dict[str, str] = {}
    for digest, descriptor in image.blobs.items():
        member = archive.find(blob_name(digest))
        whole, inside = _read_to_end(archive, member, unpack=digest in layers)
        if whole != digest or member.size != descriptor.size:
            raise Refused(f"the bytes of its blob {digest} are not those that its manifest names")
        plain[digest] = inside
        coding = find_compression(archive, member) if digest in image.uncompressed else ""
        if coding:
            raise Refused(
                f"its layer {digest} is compressed as {coding}, and its media type says that it is not; containerd "
                "can't unpack such a layer"
            )
    for digest, diff_id in sorted(image.diff_ids):
        if digest in plain and plain[digest] != diff_id:
            _refuse_skippable(archive, archive.find(blob_name(digest)), digest)
            raise Refused(f"the bytes of its layer {digest} are not those that its configuration names: {diff_id}")


def _check_classic(archive: ImageArchive, image: ClassicImage) -> None:
    """Check the layers of a classic archive.

    Raises:
        Refused: one has other bytes than its configuration says, or can't be decompressed.
    """
    # Many names may lead to one member.
    plain: dict[int, str] = {}
    for layer in image.layers:
        member = archive.find(layer.name)
        if member.offset not in plain:
            _refuse_zstd(archive, member, layer)
            plain[member.offset] = _read_to_end(archive, member, unpack=True)[1]
        if plain[member.offset] != layer.diff_id:
            _refuse_skippable(archive, member, layer.name[:120])
            raise Refused(f"the bytes of its layer {layer.name[:120]} are not those that its configuration names")


def _refuse_zstd(archive: ImageArchive, member: TarMember, layer: ClassicLayer) -> None:
    # Its manifest would be of Docker's schema 2, which has no type for layers in zstd.
    if find_compression(archive, member) == "zstd":
        raise Refused(f"its layer {layer.name[:120]} is compressed as zstd; save it as an OCI archive")


def _refuse_skippable(archive: ImageArchive, member: TarMember, layer: str) -> None:
    # podman knows zstd by the first bytes of a frame with content, and can't unpack a layer that begins otherwise.
    start = archive.open(member).read(_MAGIC_BYTES)
    if start[1:] == _SKIPPABLE and start[0] & 0xF0 == 0x50:
        raise Refused(f"its layer {layer} is compressed by pzstd, which podman can't unpack; use zstd")


def _read_to_end(archive: ImageArchive, member: TarMember, *, unpack: bool) -> tuple[str, str]:
    """Return the digests of a file as it is and, with `unpack`, of its plain bytes if it is compressed.

    Raises:
        Refused: the compressed bytes are torn, damaged or a decompression bomb.
    """
    source = _Hashing(archive.open(member))
    coding = find_compression(archive, member) if unpack else ""
    plain: _Hashing | None = None
    if coding:
        with naming(f"its {member.name[:120]}"):
            stream = open_compressed(source, coding, several=True)
            plain = _Hashing(stream)
            _drain(plain)
            if stream.padded:
                # Go takes them for the next stream, which is damaged.
                raise Refused(f"it has zeros after the end of the {coding} stream, which clients refuse")
    _drain(source)
    whole = f"sha256:{source.digest.hexdigest()}"
    return whole, f"sha256:{plain.digest.hexdigest()}" if plain is not None else whole


def _drain(source: Readable) -> None:
    while source.read(READ_BYTES):
        pass
