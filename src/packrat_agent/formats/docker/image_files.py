"""The files that one tag, and those that one manifest of an image needs; made once, and taken again while they stay.

Each of the values has a hash of its files, so that the identity of a publication costs a hash of hashes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from packrat_agent.formats.docker.body import Body, read_body
from packrat_agent.formats.docker.htaccess import Named, write_htaccess
from packrat_agent.formats.docker.signatures import sign_manifest
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, PendingFile, Signer, TreeFile, TreeLink

File = TreeFile | TreeLink | PendingFile

FILES_OF_TAG = 2
"""Number of pointers of each tag."""


@dataclass(frozen=True, slots=True)
class TagFiles:
    """The files that lead clients from a tag to its manifest.

    Attributes:
        archive: the SHA-256 of the package file that has the tag.
        files: the pointers, in the order of publishing.
        htaccess: how Apache serves them.
        digest: the hash of the files.
    """

    archive: str
    body: Body
    files: tuple[File, ...]
    htaccess: bytes
    digest: bytes

    @classmethod
    def of(cls, image: str, tag: str, entry: Entry) -> "TagFiles":
        """Make the files of a tag.

        Args:
            image: The name of the image.
            tag: The tag.
            entry: The package file that it leads to.
        """
        body = read_body(entry.fragment.body)
        top, end = body.manifests[0]
        files = (
            TreeLink(f"v2/{image}/_refs/{tag}", top),
            TreeFile(f"v2/{image}/manifests/{tag}", Content.of(body.top)),
        )
        return cls(entry.file.sha256, body, files, write_htaccess([Named(tag, end, top)]), hash_files(files))


@dataclass(frozen=True, slots=True)
class ManifestFiles:
    """The signatures of a manifest.

    Attributes:
        references: what clients append to the name of the image to get it, in the order of the signatures.
        files: the content.
        htaccess: how Apache serves the manifest.
        named: `<digest>.<ending>`.
        digest: the hash of the files.
    """

    references: tuple[str, ...]
    files: tuple[File, ...]
    htaccess: bytes
    named: str
    digest: bytes

    @classmethod
    def of(
        cls,
        image: str,
        manifest: tuple[str, str],
        references: tuple[str, ...],
        public_name: str | None,
        *,
        signers: tuple[Signer, ...],
        listed: bool,
    ) -> "ManifestFiles":
        """Make the files of a manifest.

        Args:
            image: The name of the image in the repository.
            manifest: Its digest, and the ending that stands for its type.
            references: What clients append to the name of the image to get it.
            public_name: The image as clients name it; None if it is not signed.
            signers: Who signs each of its names.
            listed: Whether the registry hands out signatures.
        """
        digest, end = manifest
        files = tuple(sign_manifest(image, public_name, digest, references, signers=signers, listed=listed))
        htaccess = write_htaccess([Named(digest, end, digest)])
        return cls(references, files, htaccess, f"{digest}.{end}", hash_files(files))


def hash_files(files: Iterable[File]) -> bytes:
    """Hash the whole content of files; a signature counts by the data that it signs."""
    digest = hashlib.sha256()
    for file in files:
        match file:
            case TreeFile():
                parts: tuple[bytes, ...] = (bytes(file.content),)
            case TreeLink():
                parts = (file.target.encode(),)
            case PendingFile():
                parts = file.quoting or tuple(map(bytes, file.signs))
        digest.update(f"{file.path}\0{' '.join(str(len(part)) for part in parts)}\0".encode() + b"".join(parts))
    return digest.digest()
