"""Reads an image archive to the end: the one judge of images, at upload and in the agent.

1. The layout (`index.json`) counts; the classic description (`manifest.json`) does where there is no usable layout.
2. Every blob that the image is made of has the size and the digest by which it is named.
3. Every layer, once decompressed, has the digest that the configuration names (its diff_id): docker and containerd
   refuse others. An encrypted one is taken as it is.
4. Every layer of an image is a tar archive that clients can unpack, as `layer` has it.
5. A layer that its media type calls uncompressed is: containerd does not look at the bytes.

Source: OCI Image Format Specification 1.1, "Layer DiffID".
"""

import hashlib
import time
from dataclasses import dataclass
from typing import BinaryIO

from packrat_core.archives.compressed_stream import open_compressed
from packrat_core.archives.limits import check_time
from packrat_core.archives.plain_stream import READ_BYTES, Readable
from packrat_core.archives.tar import TarMember
from packrat_core.errors import Refused
from packrat_core.packages.image.archive import ImageArchive
from packrat_core.packages.image.classic import CLASSIC_FILE, ClassicImage, ClassicLayer, read_classic
from packrat_core.packages.image.layer import LayerTar
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
        Refused: it is not an archive of one image, or is damaged or a decompression bomb.
    """
    read_image(ImageArchive(file))


def read_image(archive: ImageArchive) -> LayoutImage | ClassicImage:
    """Return the image of an archive, with every byte of it checked.

    Raises:
        Refused: it is not an archive of one image, or is damaged or a decompression bomb.
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


@dataclass(frozen=True, slots=True)
class _Blob:
    """The digests of a blob as it is and of its plain bytes, and why clients can't unpack these; '' if they can."""

    digest: str
    diff_id: str
    fault: str = ""


class _Hashing:
    """An open file that hashes and counts what is read of it."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self.hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """The digest of what was read, as descriptors have it."""
        return f"sha256:{self.hash.hexdigest()}"

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        data = self._source.read(size)
        self.hash.update(data)
        self.size += len(data)
        return data


def _check_layout(archive: ImageArchive, image: LayoutImage) -> None:
    """Check the blobs of a layout.

    Raises:
        Refused: one is of another size or has other bytes than its name says, or can't be decompressed.
    """
    layers = {digest for digest, _ in image.diff_ids}
    read: dict[str, _Blob] = {}
    for digest, descriptor in image.blobs.items():
        member = archive.find(blob_name(digest))
        read[digest] = _read_to_end(archive, member, unpack=digest in layers)
        if read[digest].digest != digest or member.size != descriptor.size:
            raise Refused(f"the bytes of its blob {digest} are not those that its manifest names")
        coding = find_compression(archive, member) if digest in image.uncompressed else ""
        if coding:
            raise Refused(
                f"its layer {digest} is compressed as {coding}, and its media type says that it is not; containerd "
                "can't unpack such a layer"
            )
    for digest, diff_id in sorted(image.diff_ids):
        if digest not in read:
            continue
        if read[digest].diff_id != diff_id:
            _refuse_skippable(archive, archive.find(blob_name(digest)), digest)
            raise Refused(f"the bytes of its layer {digest} are not those that its configuration names: {diff_id}")
        _refuse_fault(read[digest], digest)


def _check_classic(archive: ImageArchive, image: ClassicImage) -> None:
    """Check the layers of a classic archive.

    Raises:
        Refused: one has other bytes than its configuration says, or can't be decompressed.
    """
    # Many names may lead to one member.
    read: dict[int, _Blob] = {}
    for layer in image.layers:
        member = archive.find(layer.name)
        if member.offset not in read:
            _refuse_zstd(archive, member, layer)
            read[member.offset] = _read_to_end(archive, member, unpack=True)
        if read[member.offset].diff_id != layer.diff_id:
            _refuse_skippable(archive, member, layer.name[:120])
            raise Refused(f"the bytes of its layer {layer.name[:120]} are not those that its configuration names")
        _refuse_fault(read[member.offset], layer.name[:120])


def _refuse_fault(blob: "_Blob", layer: str) -> None:
    if blob.fault:
        raise Refused(f"its layer {layer} can't be unpacked: {blob.fault}", hint="build the image again")


def _refuse_zstd(archive: ImageArchive, member: TarMember, layer: ClassicLayer) -> None:
    # Its manifest would be of Docker's schema 2, which has no type for layers in zstd.
    if find_compression(archive, member) == "zstd":
        raise Refused(f"its layer {layer.name[:120]} is compressed as zstd", hint="save it as an OCI archive")


def _refuse_skippable(archive: ImageArchive, member: TarMember, layer: str) -> None:
    # podman knows zstd by the first bytes of a frame with content, and can't unpack a layer that begins otherwise.
    start = archive.open(member).read(_MAGIC_BYTES)
    if start[1:] == _SKIPPABLE and start[0] & 0xF0 == 0x50:
        raise Refused(f"its layer {layer} is compressed by pzstd, which podman can't unpack", hint="use zstd")


def _read_to_end(archive: ImageArchive, member: TarMember, *, unpack: bool) -> _Blob:
    """Read a file of the archive; with `unpack` it is a layer, which may be compressed.

    Raises:
        Refused: the compressed bytes are damaged or a decompression bomb.
    """
    source = _Hashing(archive.open(member))
    if not unpack:
        _drain(source)
        return _Blob(source.digest, source.digest)
    coding = find_compression(archive, member)
    if not coding:
        fault = _unpack(source, source)
        return _Blob(source.digest, source.digest, fault)
    with naming(f"its {member.name[:120]}"):
        stream = open_compressed(source, coding, several=True)
        plain = _Hashing(stream)
        fault = _unpack(plain, source)
        if stream.padded:
            # Go takes them for the next stream, which is damaged.
            raise Refused(f"it has zeros after the end of the {coding} stream, which clients refuse")
    _drain(source)
    return _Blob(source.digest, plain.digest, fault)


def _unpack(plain: _Hashing, packed: _Hashing) -> str:
    """Read a layer to its end, and return why clients can't unpack it; '' if they can.

    Raises:
        Refused: it takes too long, as a layer of headers alone can.
    """
    layer = LayerTar()
    cpu_s = 0.0
    while data := plain.read(READ_BYTES):
        began_s = time.thread_time()
        try:
            layer.feed(data)
        except Refused as error:
            # Damaged bytes are reported as such, once their digest is known.
            _drain(plain)
            return str(error)
        cpu_s += time.thread_time() - began_s
        check_time(cpu_s, packed.size)
    try:
        layer.finish()
    except Refused as error:
        return str(error)
    return ""


def _drain(source: Readable) -> None:
    while source.read(READ_BYTES):
        pass
