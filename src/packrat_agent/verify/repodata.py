"""Parses the metadata of a yum repository from its bytes: repomd.xml, primary, filelists, other and metalink.

Source: createrepo_c; Metalink 3.0.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packrat_agent.verify.read_xml import Element, read_elements, unpack
from packrat_core.text import count_of

_OPEN_LIMIT = 8 * 1024**3
_PACKAGES_LIMIT = 2_000_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ROOTS = {"primary": "metadata", "filelists": "filelists", "other": "otherdata"}


@dataclass(frozen=True, slots=True)
class Metadata:
    """One metadata file as repomd.xml lists it.

    Attributes:
        href: Its path, relative to the repository.
        sha256: SHA-256 of the compressed file, in hex.
        size: Size of the compressed file in bytes.
        open_sha256: SHA-256 of the decompressed content, in hex.
        open_size: Size of the decompressed content in bytes.
    """

    href: str
    sha256: str
    size: int
    open_sha256: str
    open_size: int


_OF_PACKAGE = frozenset({"arch", "checksum", "location", "name", "size", "version"})
"""Elements that primary has for each package, and that are read."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package; all but the hash comes from primary, and is '' and 0 if read from another file.

    `version` is `[epoch:]version-release`.
    """

    sha256: str
    href: str = ""
    size: int = 0
    name: str = ""
    version: str = ""
    arch: str = ""


@dataclass(frozen=True, slots=True)
class Metalink:
    """What a metalink says about repomd.xml: SHA-256 in hex, size in bytes, and URLs."""

    sha256: str
    size: int
    urls: tuple[str, ...]


def read_repomd(content: bytes) -> Mapping[str, Metadata]:
    """Return kind → metadata file, as repomd.xml lists them.

    Raises:
        ValueError: The content is not a usable repomd.xml.
    """
    data = "repomd/data"
    names = ("checksum", "open-checksum", "location", "size", "open-size")
    found: dict[str, Metadata] = {}
    parts: dict[str, Element] = {}
    for element in read_elements([content], {data, *(f"{data}/{name}" for name in names)}):
        if element.path != data:
            _keep(parts, element)
            continue
        kind = element.attributes.get("type", "")
        if kind in found or any(name not in parts for name in names):
            raise ValueError(f"names {kind[:40]!r} twice, or without its checksums, sizes and location")
        found[kind] = Metadata(
            parts["location"].attributes.get("href", ""),
            _sha256(parts["checksum"]),
            _number(parts["size"].text),
            _sha256(parts["open-checksum"]),
            _number(parts["open-size"].text),
        )
        parts.clear()
    return found


def read_packages(kind: str, packed: bytes, metadata: Metadata) -> list[Package]:
    """Read all packages of one metadata file, in its order.

    Args:
        kind: `primary`, `filelists` or `other`.
        packed: The compressed file.
        metadata: What repomd.xml says about it.

    Raises:
        ValueError: The file is truncated, differs from what repomd.xml says, or declares a wrong number of packages.
    """
    root = _ROOTS[kind]
    package = f"{root}/package"
    wanted = {root, package}
    if kind == "primary":
        wanted |= {f"{package}/{name}" for name in _OF_PACKAGE}
    # Hash while parsing: the decompressed file may be too large to hold.
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        for chunk in unpack(packed, min(metadata.open_size, _OPEN_LIMIT)):
            digest.update(chunk)
            yield chunk

    packages: list[Package] = []
    parts: dict[str, Element] = {}
    count = None
    for element in read_elements(chunks(), wanted):
        if element.path == root:
            count = element.attributes.get("packages")
        elif element.path != package:
            _keep(parts, element)
        else:
            packages.append(
                _package(element, parts) if kind == "primary" else Package(element.attributes.get("pkgid", ""))
            )
            parts.clear()
            if len(packages) > _PACKAGES_LIMIT:
                raise ValueError(f"has more than {_PACKAGES_LIMIT} packages")
    if digest.hexdigest() != metadata.open_sha256:
        raise ValueError("does not unpack to what repomd.xml says")
    if count != str(len(packages)):
        raise ValueError(f"has {count_of(len(packages), 'package')} and says {str(count)[:20]}")
    return packages


def read_metalink(content: bytes) -> Metalink:
    """Parse a metalink.

    Raises:
        ValueError: It is not XML, or does not describe exactly one file.
    """
    file = "metalink/files/file"
    size, sha256 = f"{file}/size", f"{file}/verification/hash"
    sizes, hashes, urls = [], [], []
    for element in read_elements([content], {size, sha256, f"{file}/resources/url"}):
        if element.path == size:
            sizes.append(_number(element.text))
        elif element.path == sha256:
            hashes.append(_sha256(element))
        else:
            urls.append(element.text)
    if len(sizes) != 1 or len(hashes) != 1 or not urls:
        raise ValueError("does not say size, SHA-256 and address of one file")
    return Metalink(hashes[0], sizes[0], tuple(urls))


def _keep(parts: dict[str, Element], element: Element) -> None:
    name = element.path.rpartition("/")[2]
    if name in parts:
        # Clients differ on which one counts.
        raise ValueError(f"says {name} of something twice")
    parts[name] = element


def _package(element: Element, parts: Mapping[str, Element]) -> Package:
    if element.attributes.get("type") != "rpm" or not parts.keys() >= _OF_PACKAGE:
        raise ValueError(f"names a package without one of {', '.join(sorted(_OF_PACKAGE))}")
    location = parts["location"].attributes
    if "xml:base" in location:
        raise ValueError("names a package on another site")
    size = parts["size"].attributes.get("package", "")
    version = _version(parts["version"].attributes)
    href, name, arch = location.get("href", ""), parts["name"].text, parts["arch"].text
    return Package(_sha256(parts["checksum"]), href, _number(size), name, version, arch)


def _version(attributes: Mapping[str, str]) -> str:
    epoch, version, release = (attributes.get(name, "") for name in ("epoch", "ver", "rel"))
    return f"{epoch}:{version}-{release}" if epoch not in ("", "0") else f"{version}-{release}"


def _sha256(element: Element) -> str:
    if element.attributes.get("type") != "sha256" or not _SHA256.fullmatch(element.text):
        raise ValueError(f"has a checksum that is not a SHA-256: {element.text[:80]!r}")
    return element.text


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError(f"has a size that is not a number: {text[:40]!r}")
    return int(text)
