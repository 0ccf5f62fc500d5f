"""Takes the files that are published out of an image archive.

The core has read and judged the archive before (`packages/image/payload`), the same as at upload.

Source: OCI Image Layout Specification 1.1; the archives of docker 1.10 to 28.
"""

from collections.abc import Mapping
from pathlib import Path

from packrat_agent.formats.docker.body import Body, write_body
from packrat_agent.formats.docker.products import ProductWriter, Written
from packrat_agent.formats.interface import IsWritten
from packrat_agent.model.entries import Fragment, Product
from packrat_core.errors import Refused
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.packages.image.archive import ImageArchive
from packrat_core.packages.image.classic import ClassicImage
from packrat_core.packages.image.layout import LayoutImage, blob_name, digest_of
from packrat_core.packages.image.manifest import write_schema_2
from packrat_core.packages.image.payload import check_payload, find_compression, read_image

_SCHEMA_2_END = "dkrm"


def unpack_image(path: Path, into: Path, is_written: IsWritten | None = None) -> Fragment:
    """Take the image out of an archive.

    Args:
        path: the archive.
        into: the directory for the products, each named by its SHA-256; it is left as it was if anything is raised.
        is_written: tells which of them are written already.

    Returns:
        A fragment whose body is that of `body`. Its products are the blobs and manifests.

    Raises:
        Refused: the file is not an image archive, is damaged or hostile, or holds several images.
        DiskError: a file can't be read or written.
    """
    with as_disk_error("unpack", path), path.open("rb") as file:
        archive = ImageArchive(file)
        image = read_image(archive)
        writer = ProductWriter(into, is_written)
        size = path.stat().st_size
        try:
            match image:
                case LayoutImage():
                    return _unpack_layout(archive, image, writer, size)
                case ClassicImage():
                    return _unpack_classic(archive, image, writer, size)
        except BaseException:
            writer.discard()
            raise


def judge_image(path: Path) -> Fragment:
    """Read an archive to its end, as `unpack_image` does, and write nothing; the fragment names no products.

    Raises:
        Refused: As `unpack_image`.
        DiskError: The file can't be read.
    """
    with as_disk_error("read", path), path.open("rb") as file:
        check_payload(file)
        return Fragment(b"", "", "", "", (), size=path.stat().st_size)


def _unpack_layout(archive: ImageArchive, image: LayoutImage, writer: ProductWriter, size: int) -> Fragment:
    products = []
    for digest, descriptor in image.blobs.items():
        name = f"blobs/{digest}"
        # Most images share their largest layers with earlier ones. Reading has shown that the bytes are these.
        sha256 = digest.removeprefix("sha256:")
        if writer.has(name, sha256):
            products.append(Product(name, sha256, descriptor.size))
            continue
        written = writer.copy(archive.open(archive.find(blob_name(digest))))
        if f"sha256:{written.sha256}" != digest:
            raise Refused(f"the bytes of its blob {digest} are not those that its manifest names")
        products.append(Product(name, written.sha256, written.size))
    products += _write_manifests(writer, {**image.manifests, **image.artifacts})
    ordered = [image.top, *sorted(digest for digest in image.manifests if digest != image.top)]
    body = Body.of(ordered, image.manifests, image.artifacts)
    architectures = ",".join(sorted(image.architectures)) or "all"
    return Fragment(write_body(body), "", "", architectures, tuple(products), size=size)


def _unpack_classic(archive: ImageArchive, image: ClassicImage, writer: ProductWriter, size: int) -> Fragment:
    """Write a classic image, and a manifest for it; plain layers are compressed, each once however often it is named.

    A layer that is gzip already is copied as it is: compressing it again would change its digest.
    """
    config = writer.put(image.config)
    blobs = {config.sha256: config.size}
    layers: dict[int, Written] = {}
    listed = []
    for layer in image.layers:
        member = archive.find(layer.name)
        if member.offset not in layers:
            write = writer.copy if find_compression(archive, member) else writer.compress
            layers[member.offset] = write(archive.open(member))
        written = layers[member.offset]
        listed.append((written.sha256, written.size))
        blobs[written.sha256] = written.size
    data = write_schema_2((config.sha256, config.size), listed)
    manifests = {digest_of(data): (_SCHEMA_2_END, data)}
    products = [Product(f"blobs/sha256:{sha256}", sha256, size) for sha256, size in blobs.items()]
    products += _write_manifests(writer, manifests)
    body = Body.of(list(manifests), manifests, {})
    return Fragment(write_body(body), "", "", image.architecture or "all", tuple(products), size=size)


def _write_manifests(writer: ProductWriter, manifests: Mapping[str, tuple[str, bytes]]) -> list[Product]:
    products = []
    for digest, (end, data) in manifests.items():
        written = writer.put(data)
        products.append(Product(f"manifests/{digest}", written.sha256, written.size))
        products.append(Product(f"_refs/{digest}/manifest.{end}", written.sha256, written.size))
    return products
