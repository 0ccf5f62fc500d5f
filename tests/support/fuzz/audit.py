"""Fuzz targets: what `verify` reads of a tree, whole trees with one file changed, and its readers alone."""

import gzip
import hashlib
import lzma
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packrat_agent.verify.armor import find_armor_fault, find_signature_fault
from packrat_agent.verify.read_page import read_page
from packrat_agent.verify.repodata import Metadata, read_metalink, read_packages, read_repomd
from packrat_agent.verify.signatures import read_keys
from packrat_agent.verify.tree import verify_tree
from support.every_type import fill, mirror_of_all
from support.fuzz.engine import Target

_ARMORED = (
    b"-----BEGIN PGP SIGNATURE-----\n\niHUEABYKAB0WIQSpSCTJq+yYY1sLYkR0V1sZ7XyvVwUCaSb0AAAKCRB0V1sZ7Xyv\n"
    b"V1d6AP9cC3aZ0p7m9mE2w0cV4uL8x4oQ3H0b2n3b7b5bC1a8fAD/T3mZqk9Wl0w0\n=abcd\n-----END PGP SIGNATURE-----\n"
)
_READ = re.compile(
    r"index\.html|[^/]*\.json|[^/]*\.repo|mirrorlist|metalink|repomd\.xml|Release|SHA256SUMS|manifest\.[a-z]+|"
    r"list|\.htaccess"
)
"""Files that an audit parses and that no other file names by its hash."""


@contextmanager
def audit_targets(directory: Path) -> Iterator[list[Target]]:
    """A target for each kind of file that an audit reads, and the readers alone."""
    with mirror_of_all(directory, None) as lab:
        fill(lab)
        lab.agent("sync")
        top = lab.www
    targets = [
        Target("audit.page", [b'<!DOCTYPE html>\n<a href="x#sha256=1" data-yanked="">x</a><br>\n</html>\n'], read_page),
        Target("audit.metalink", _read_all(top, "metalink"), read_metalink),
        Target("audit.repomd", _read_all(top, "repomd.xml"), read_repomd),
        *(
            Target(
                f"audit.{kind}",
                [gzip.decompress(packed) for packed in _read_all(top, f"*{kind}.xml.gz")],
                _Packages(kind),
            )
            for kind in ("primary", "filelists", "other")
        ),
        Target("audit.keys", [_ARMORED.replace(b"SIGNATURE", b"PUBLIC KEY BLOCK")], read_keys),
    ]
    targets = [Target(target.name, target.samples, target.read, may_raise=(ValueError,)) for target in targets]
    targets.append(Target("audit.armor", [_ARMORED], _read_armor))
    by_name: dict[str, list[Path]] = {}
    for path in sorted(top.rglob("*")):
        place = path.relative_to(top).parts
        if path.is_file() and not path.is_symlink() and place[0] != ".packrat-agent" and _READ.fullmatch(path.name):
            by_name.setdefault(f"audit.{place[0] if len(place) > 1 else 'site'}.{path.name}", []).append(path)
    for name, paths in by_name.items():
        targets.append(Target(name, [path.read_bytes() for path in paths], _Tree(top, paths[0]), may_raise=()))
    index = next(path for path in sorted(top.rglob("Packages.xz")) if path.parent.name == "binary-amd64")
    yield [*targets, Target("audit.apt-dev.Packages", [lzma.decompress(index.read_bytes())], _Index(top, index))]


class _Tree:
    """Audits a tree in which one file has other bytes; what names the file by its hash is changed with it."""

    def __init__(self, top: Path, path: Path) -> None:
        self._top = top
        self._path = path
        self._sound = path.read_bytes()
        sha256 = hashlib.sha256(self._sound).hexdigest().encode()
        indexes = [release for release in top.rglob("Release") if release != path and release.is_file()]
        self._naming = {release: release.read_bytes() for release in indexes if sha256 in release.read_bytes()}

    def __call__(self, data: bytes) -> None:
        try:
            self._write(data)
            verify_tree(self._top, None, lambda _files, _bytes: None)
        finally:
            self._write(self._sound)

    def _write(self, data: bytes) -> None:
        self._path.write_bytes(data)
        old, new = (hashlib.sha256(content).hexdigest().encode() for content in (self._sound, data))
        for path, content in self._naming.items():
            path.write_bytes(re.sub(old + rb"( +)\d+", new + rb"\g<1>%d" % len(data), content))


class _Index(_Tree):
    """Audits a tree with another index, which is compressed, and named by Release, as the agent does it."""

    def __init__(self, top: Path, path: Path) -> None:
        super().__init__(top, path)
        self._release = next(directory for directory in path.parents if directory.parent.name == "dists") / "Release"
        self._plain = lzma.decompress(self._sound)
        self._said = self._release.read_bytes()

    def __call__(self, data: bytes) -> None:
        packed = lzma.compress(data, preset=0)
        said = self._said
        for old, new in ((self._plain, data), (self._sound, packed)):
            digests = [hashlib.sha256(content).hexdigest().encode() for content in (old, new)]
            said = re.sub(digests[0] + rb"( +)\d+", digests[1] + rb"\g<1>%d" % len(new), said)
        try:
            self._path.write_bytes(packed)
            self._release.write_bytes(said)
            verify_tree(self._top, None, lambda _files, _bytes: None)
        finally:
            self._path.write_bytes(self._sound)
            self._release.write_bytes(self._said)


class _Packages:
    """Reads the decompressed metadata of a yum repository, whose hashes are right."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __call__(self, data: bytes) -> None:
        packed = gzip.compress(data, 1, mtime=0)
        sha256, open_sha256 = (hashlib.sha256(content).hexdigest() for content in (packed, data))
        told = Metadata(f"repodata/{self._kind}.xml.gz", sha256, len(packed), open_sha256, len(data))
        read_packages(self._kind, packed, told)


def _read_armor(data: bytes) -> None:
    find_armor_fault(data)
    find_signature_fault(data, b"signed")


def _read_all(top: Path, pattern: str) -> list[bytes]:
    found = sorted({path.read_bytes() for path in top.rglob(pattern) if path.is_file()})
    assert found, pattern
    return found
