"""The repository types as the tests of all types see them: how a package is built, what the published index says.

The readers know nothing of the agent: they follow the indexes from their tops, as a client does, hold every file
against the hash that names it, and tell what is offered: (name, version, architecture) each.
"""

import gzip
import hashlib
import json
import lzma
import re
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.utils import parse_wheel_filename

from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.build_image import Image, build_classic, build_oci
from packrat_demo.build_rpm import Rpm, build_rpm
from packrat_demo.build_wheel import Python, build_wheel

Get = Callable[[str], bytes]
"""A path below the repository → the bytes there; raises where there is nothing."""

Offered = set[tuple[str, str, str]]

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A repository type.

    suites: the distribution versions of its repository; `uploaded_for`: the one that packages go to, () where the
    server chooses. arches: those that packages are built for. build: name, version, arch, what is in it → file name
    and bytes. packages: what tells a package file's path from that of an index file.
    """

    name: str
    suites: tuple[str, ...]
    uploaded_for: tuple[str, ...]
    arches: tuple[str, ...]
    build: Callable[[str, str, str, bytes], tuple[str, bytes]]
    read: Callable[[Get], Offered]
    packages: re.Pattern[str]
    moves_names: bool = False
    """Other bytes may be published under a name: docker's tags."""


def from_disk(directory: Path) -> Get:
    """Read files below a directory."""
    return lambda path: (directory / path).read_bytes()


def from_web(url: str) -> Get:
    """Ask a web server."""

    def get(path: str) -> bytes:
        with urllib.request.urlopen(f"{url}/{path}", timeout=TIMEOUT_S) as answer:
            return bytes(answer.read())

    return get


def hold(get: Get, path: str, sha256: str) -> bytes:
    """Get a file and hold it against its SHA-256."""
    data = get(path)
    assert hashlib.sha256(data).hexdigest() == sha256, f"{path} has other bytes than its index says"
    return data


def _build_apt(name: str, version: str, arch: str, inside: bytes) -> tuple[str, bytes]:
    deb = Deb(name, version, arch, files=((f"/usr/share/{name}/it", inside),))
    return deb.file_name, build_deb(deb)


def _build_yum(name: str, version: str, arch: str, inside: bytes) -> tuple[str, bytes]:
    rpm = Rpm(name, version, arch, files=((f"/opt/{name}", inside),))
    return rpm.file_name, build_rpm(rpm)


def _build_pypi(name: str, version: str, arch: str, inside: bytes) -> tuple[str, bytes]:
    tag = "py3-none-any" if arch == "any" else f"cp311-cp311-manylinux_2_17_{arch}"
    python = Python(name, version, (), files=((f"{name}.py", b"X = %r\n" % inside),), tag=tag)
    return python.wheel_name, build_wheel(python)


def _build_docker(name: str, version: str, arch: str, inside: bytes) -> tuple[str, bytes]:
    layers = ((("base", b"base\n"),), (("it", inside),))
    images = [Image(name, version, layers, architecture) for architecture in arch.split("+")]
    return images[0].file_name, build_classic(images[0]) if arch == "amd64" else build_oci(*images)


def _build_json(name: str, version: str, arch: str, inside: bytes) -> tuple[str, bytes]:
    return f"{name}_{version}.json", json.dumps({"inside": inside.hex()}).encode() + b"\n"


def _stanzas(text: str) -> list[dict[str, str]]:
    lines = (
        re.findall(r"^([!-9;-~]+):[ ]?(.*)$", paragraph, re.M) for paragraph in text.split("\n\n") if paragraph.strip()
    )
    return [dict(fields) for fields in lines]


def _read_apt(get: Get) -> Offered:
    offered: Offered = set()
    for suite in ("bookworm", "trixie"):
        top = f"dists/{suite}"
        release = get(f"{top}/InRelease").decode()
        listed = {
            path: sha256 for sha256, path in re.findall(r"^ ([0-9a-f]{64}) +\d+ (\S+/Packages\S*)$", release, re.M)
        }
        for path in (path for path in listed if path.endswith(".xz")):
            packed = listed[path]
            index = lzma.decompress(hold(get, f"{top}/{path.rpartition('/')[0]}/by-hash/SHA256/{packed}", packed))
            assert hashlib.sha256(index).hexdigest() == listed[path.removesuffix(".xz")]
            for stanza in _stanzas(index.decode()):
                hold(get, stanza["Filename"], stanza["SHA256"])
                offered.add((stanza["Package"], stanza["Version"], stanza["Architecture"]))
    return offered


_COMMON = {"c": "http://linux.duke.edu/metadata/common", "r": "http://linux.duke.edu/metadata/repo"}


def _told(element: ET.Element, path: str, name: str | None = None) -> str:
    found = element.find(path, _COMMON)
    assert found is not None, path
    value = found.get(name) if name is not None else found.text
    assert value is not None, path
    return value


def _read_yum(get: Get) -> Offered:
    offered: Offered = set()
    for top in ("rhel/main/9", "sles/main/15"):
        indexes = {}
        for data in ET.fromstring(get(f"{top}/repodata/repomd.xml")).findall("r:data", _COMMON):
            place, sha256 = _told(data, "r:location", "href"), _told(data, "r:checksum")
            index = gzip.decompress(hold(get, f"{top}/{place}", sha256))
            assert hashlib.sha256(index).hexdigest() == _told(data, "r:open-checksum")
            indexes[data.get("type")] = ET.fromstring(index)
        assert set(indexes) == {"primary", "filelists", "other"}
        listed = indexes["primary"].findall("c:package", _COMMON)
        for package in listed:
            hold(get, f"{top}/{_told(package, 'c:location', 'href')}", _told(package, "c:checksum"))
            offered.add((_told(package, "c:name"), _told(package, "c:version", "ver"), _told(package, "c:arch")))
        assert len(indexes["filelists"]) == len(indexes["other"]) == len(listed)
    return offered


def _read_pypi(get: Get) -> Offered:
    # A client reads the pages of one kind; each kind is whole for itself.
    for name in re.findall(r'href="([^"/]+)/"', get("simple/index.html").decode()):
        page = get(f"simple/{name}/index.html").decode()
        links = re.findall(r'href="\.\./\.\./([^"#]+)#sha256=([0-9a-f]{64})"', page)
        assert len(links) == page.count("href=")
        for path, sha256 in links:
            hold(get, unquote(path), sha256)
    offered: Offered = set()
    for project in json.loads(get("simple/index.v1_json"))["projects"]:
        for file in json.loads(get(f"simple/{project['name']}/index.v1_json"))["files"]:
            path = unquote(file["url"].removeprefix("../../"))
            hold(get, path, file["hashes"]["sha256"])
            hold(get, f"{path}.metadata", file["core-metadata"]["sha256"])
            _, version, _, tags = parse_wheel_filename(file["filename"])
            arch = next(iter(tags)).platform.removeprefix("manylinux_2_17_")
            offered.add((project["name"], str(version), arch))
    return offered


def _read_docker(get: Get) -> Offered:
    offered: Offered = set()
    for image in json.loads(get("v2/_catalog"))["repositories"]:
        tags = json.loads(get(f"v2/{image}/tags/list"))["tags"]
        assert "latest" in tags
        for tag in tags:
            arches = _read_manifest(get, f"v2/{image}", json.loads(get(f"v2/{image}/manifests/{tag}")))
            if tag != "latest":
                offered.add((image, tag, "+".join(arches)))
    return offered


def _read_manifest(get: Get, top: str, manifest: Mapping[str, Any]) -> list[str]:
    """Follow a manifest down to the last blob; gives the architectures."""
    arches = []
    for below in manifest.get("manifests", []):
        data = hold(get, f"{top}/manifests/{below['digest']}", below["digest"].removeprefix("sha256:"))
        arches += _read_manifest(get, top, json.loads(data))
    for blob in manifest.get("layers", []):
        assert len(hold(get, f"{top}/blobs/{blob['digest']}", blob["digest"].removeprefix("sha256:"))) == blob["size"]
    if "config" in manifest:
        digest = manifest["config"]["digest"]
        arches.append(json.loads(hold(get, f"{top}/blobs/{digest}", digest.removeprefix("sha256:")))["architecture"])
    return arches


def _read_json(get: Get) -> Offered:
    for line in get("SHA256SUMS").decode().splitlines():
        sha256, _, path = line.partition("  ")
        hold(get, path, sha256)
    offered: Offered = set()
    for package, files in json.loads(get("_repo_main/MANIFEST_all.json")).items():
        for file in files:
            assert len(hold(get, file["path"], file["sha256"])) == file["size"]
            offered.add((package, file["version"], "all"))
    return offered


APT = Kind(
    "apt",
    ("bookworm", "trixie"),
    ("bookworm",),
    ("amd64", "arm64", "i386", "all"),
    _build_apt,
    _read_apt,
    re.compile(r"pool/"),
)
YUM = Kind(
    "yum",
    ("rhel9", "sles15"),
    ("rhel9",),
    ("x86_64", "aarch64", "i686", "noarch"),
    _build_yum,
    _read_yum,
    re.compile(r".*\.rpm$"),
)
PYPI = Kind(
    "pypi",
    ("pypi",),
    ("pypi",),
    ("any", "x86_64", "aarch64"),
    _build_pypi,
    _read_pypi,
    re.compile(r"packages/"),
)
DOCKER = Kind(
    "docker",
    ("docker",),
    ("docker",),
    ("amd64+arm64",),
    _build_docker,
    _read_docker,
    re.compile(r"v2/[^/]+/(blobs|manifests|_refs)/sha256:"),
    moves_names=True,
)
JSON = Kind(
    "json",
    ("json", "resource", "tar"),
    (),
    ("all",),
    _build_json,
    _read_json,
    re.compile(r"(?!_repo_main/)[^/]+/"),
)

KINDS = (APT, YUM, PYPI, DOCKER, JSON)
