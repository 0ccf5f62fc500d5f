"""Reads a published repository as a client begins to: which file shows a change, how many packages, how many bytes."""

import gzip
import json
import lzma
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.corpus import Package
from bench.setting import SUITE

_UNPACK: Mapping[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.decompress,
    ".gz": gzip.decompress,
    "": bytes,
}


@dataclass(frozen=True, slots=True)
class Tree:
    """How one type lies on disk below its top directory.

    distro_version: the one that its packages go to. pointer: what changes last with a publication. count: of the
    packages in the index. pulled: bytes that a client downloads to learn of a new package, without the package. former:
    the directory in which the original agent kept a package file, which a takeover finds there.
    """

    distro_version: str
    file_type: str
    pointer: Callable[[Path, Package], Path]
    count: Callable[[Path], int]
    pulled: Callable[[Path, Package], int]
    former: Callable[[Package], str]


def _apt_index(top: Path) -> Path:
    """The smallest index of a suite, which apt downloads."""
    found = (top / f"dists/{SUITE}/main/binary-amd64").glob("Packages*")
    return min((path for path in found if path.suffix in _UNPACK), key=lambda path: path.stat().st_size)


def _count_apt(top: Path) -> int:
    index = _apt_index(top)
    text = _UNPACK[index.suffix](index.read_bytes())
    return text.count(b"\nPackage: ") + text.startswith(b"Package: ")


def _pull_apt(top: Path, package: Package) -> int:
    return (top / f"dists/{SUITE}/InRelease").stat().st_size + _apt_index(top).stat().st_size


def _repodata(top: Path) -> Path:
    # A repository of ours has a directory a release; createrepo_c's is the directory itself.
    ours = top / "rhel/main/9/repodata"
    return ours if ours.exists() else top / "repodata"


def _primary(top: Path) -> Path:
    repodata = _repodata(top)
    found = re.search(r'href="repodata/([^"]*primary\.xml[^"]*)"', (repodata / "repomd.xml").read_text())
    assert found is not None
    return repodata / found[1]


def _count_yum(top: Path) -> int:
    primary = _primary(top)
    return _UNPACK[primary.suffix](primary.read_bytes()).count(b"<package ")


def _pull_yum(top: Path, package: Package) -> int:
    return (_repodata(top) / "repomd.xml").stat().st_size + _primary(top).stat().st_size


def _page(top: Path, package: Package) -> Path:
    return top / f"simple/{package.name.replace('_', '-')}/index.html"


def _count_pypi(top: Path) -> int:
    return sum(page.read_bytes().count(b"#sha256=") for page in (top / "simple").glob("*/index.html"))


def _tags(top: Path) -> list[str]:
    path = top / "v2/bench/tags/list"
    return [tag for tag in json.loads(path.read_text())["tags"] if tag != "latest"] if path.exists() else []


def _pull_docker(top: Path, package: Package) -> int:
    path = top / f"v2/bench/manifests/{package.version}"
    return path.stat().st_size if path.exists() else 0


TREES: Mapping[str, Tree] = {
    "apt": Tree(
        distro_version=SUITE,
        file_type="deb",
        pointer=lambda top, _: top / f"dists/{SUITE}/InRelease",
        count=_count_apt,
        pulled=_pull_apt,
        former=lambda package: f"pool/{package.name[:6]}",
    ),
    "yum": Tree(
        distro_version="rhel9",
        file_type="rpm",
        pointer=lambda top, _: _repodata(top) / "repomd.xml",
        count=_count_yum,
        pulled=_pull_yum,
        former=lambda package: f"rhel/main/9/{package.architecture}",
    ),
    "pypi": Tree(
        distro_version="pypi",
        file_type="python",
        pointer=_page,
        count=_count_pypi,
        pulled=lambda top, package: _page(top, package).stat().st_size,
        former=lambda package: f"packages/{package.path.name.partition('-')[0][:6]}",
    ),
    "docker": Tree(
        distro_version="docker",
        file_type="docker",
        pointer=lambda top, _: top / "v2/bench/tags/list",
        count=lambda top: len(_tags(top)),
        pulled=_pull_docker,
        former=lambda package: f"cache/{package.name[:6]}",
    ),
    "json": Tree(
        distro_version="resource",
        file_type="resource",
        pointer=lambda top, _: top / "SHA256SUMS.signed",
        count=lambda top: len((top / "SHA256SUMS").read_text().splitlines()),
        pulled=lambda top, _: (top / "SHA256SUMS.signed").stat().st_size,
        former=lambda package: package.name,
    ),
}
