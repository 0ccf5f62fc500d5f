"""Builds what the apt format is tried with; the one place where tests make its entries and requests."""

import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.formats.apt.format import AptFormat
from packrat_agent.formats.interface import RenderRequest, RenderSettings
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Publication, TreeFile
from packrat_demo.build_deb import Deb, write_deb

APT = AptFormat()
NOW = datetime(2026, 3, 7, 8, 9, 10, tzinfo=UTC)
SETTINGS = RenderSettings(mirror_description="the mirror of the lab", signed=True)
SUITES = ("bookworm", "noble", "trixie")
REPO = Repo(
    "apt-dev",
    "Development packages",
    "apt-dev",
    "apt",
    tuple(DistroVersion(name, "debian", name, "deb") for name in SUITES),
)
_SERVER_NAMES = {"amd64": "x86_64"}


@dataclass(slots=True)
class Chunks:
    """Remembers compressed chunks in memory, and which had to be made."""

    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)
    made: list[tuple[str, str]] = field(default_factory=list)

    def get(self, coding: str, digest: str) -> bytes | None:
        return self.kept.get((coding, digest))

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        self.made.append((coding, digest))
        self.kept[coding, digest] = chunk


def package_file(deb: Deb, sha256: str = "0" * 64, *, suite: str = "bookworm", number: int = 1) -> PackageFile:
    """The server's record of a package."""
    return PackageFile(
        uri=f"/api/v2/Package/PackageFile:{number}:",
        package=deb.name,
        distro_version=suite,
        version=deb.version,
        kind="deb",
        arch=_SERVER_NAMES.get(deb.architecture, deb.architecture),
        url=f"/files/{deb.file_name}",
        file_name=deb.file_name,
        sha256=sha256,
    )


def read(path: Path) -> Fragment:
    """Read a package; it is published as it is, so nothing is taken out of it."""
    return APT.read(path, path.parent)


def entry(deb: Deb, directory: Path, *, suite: str = "bookworm", number: int = 1) -> Entry:
    """A package that was built, verified and read."""
    path = write_deb(deb, directory)
    data = path.read_bytes()
    file = package_file(deb, hashlib.sha256(data).hexdigest(), suite=suite, number=number)
    fragment = read(path)
    APT.agree(file, fragment)
    return Entry(file, APT.place(REPO, file), fragment)


def entries(directory: Path, *wanted: tuple[Deb, str]) -> list[Entry]:
    """Packages with their suites, in the order of their records."""
    return [entry(deb, directory, suite=suite, number=number) for number, (deb, suite) in enumerate(wanted, 1)]


def request(
    of: Sequence[Entry] = (),
    *,
    repo: Repo = REPO,
    settings: RenderSettings = SETTINGS,
    now: datetime = NOW,
    chunks: Chunks | None = None,
    facts: Mapping[str, Mapping[str, str]] | None = None,
) -> RenderRequest:
    """What `render` is asked."""
    return RenderRequest(repo, of, settings, now, chunks or Chunks(), facts or {})


def one_suite(repo: Repo = REPO) -> Repo:
    """A repository of bookworm only."""
    return replace(repo, distro_versions=repo.distro_versions[:1])


def read_packages(directory: Path) -> str:
    """The text of the index in a directory of one architecture; '' where there is none."""
    path = directory / "Packages.xz"
    return lzma.decompress(path.read_bytes()).decode("utf-8", "surrogateescape") if path.exists() else ""


def is_offered(suite: Path, text: str, architecture: str = "amd64") -> bool:
    """Say whether apt finds a text in a suite: Release, shown after the index, names the bytes that have it."""
    directory = suite / "main" / f"binary-{architecture}"
    release = suite / "InRelease"
    if not release.exists():
        release = suite / "Release"
    if text not in read_packages(directory) or not release.exists():
        return False
    return hashlib.sha256((directory / "Packages.xz").read_bytes()).hexdigest() in release.read_text()


def with_plain(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Add to the files of a tree the plain indexes that only Release names, under their names."""
    plain = {
        path.removesuffix(".xz"): lzma.decompress(data) for path, data in files.items() if path.endswith("/Packages.xz")
    }
    return {**files, **plain}


def files_of(tree: Sequence[Publication]) -> dict[str, bytes]:
    """Path → bytes of all that a tree holds."""
    return {
        file.path: bytes(file.content)
        for publication in tree
        for file in (*publication.content, *publication.pointers)
        if isinstance(file, TreeFile)
    }


def content_of(publication: Publication) -> list[TreeFile]:
    """What a publication has beside its pointers; in apt plain files only."""
    assert all(isinstance(file, TreeFile) for file in publication.content)
    return [file for file in publication.content if isinstance(file, TreeFile)]


def ar(*members: tuple[str, bytes]) -> bytes:
    """An ar archive; names as they are given."""
    packed = b"!<arch>\n"
    for name, data in members:
        packed += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        packed += data + b"\n" * (len(data) % 2)
    return packed


def tar(*members: tuple[str, bytes | tarfile.TarInfo]) -> bytes:
    """A tar archive of files, or of whatever an entry says it is."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, what in members:
            info = what if isinstance(what, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            if isinstance(what, bytes):
                info.size = len(what)
                archive.addfile(info, io.BytesIO(what))
            else:
                archive.addfile(info)
    return output.getvalue()


def deb_of(control_archive: bytes, name: str = "control.tar") -> bytes:
    """A .deb around a control archive."""
    return ar(("debian-binary", b"2.0\n"), (name, control_archive), ("data.tar", tar()))


def gz(data: bytes) -> bytes:
    """The same bytes each time."""
    return gzip.compress(data, mtime=0)
