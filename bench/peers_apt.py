"""The programs that make apt repositories: aptly, reprepro, apt-ftparchive."""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from bench.corpus import Corpus, Package
from bench.meter import BenchError, Command, Measured, measure
from bench.setting import SUITE, Setting
from bench.trees import TREES

_ARGUMENTS_AT_ONCE = 5000


def need(*programs: str) -> None:
    """See that programs are installed.

    Raises: BenchError
    """
    for program in programs:
        if shutil.which(program) is None:
            raise BenchError(f"{program} is not installed; `tests/provision.sh {program}` does it, or leave it out")


class AptPeer:
    """What these have in common."""

    def __init__(self, setting: Setting, top: Path) -> None:
        self._setting = setting
        self._environment = setting.environment
        self._published = top

    def _measure(self, commands: Iterable[Command]) -> Measured:
        return measure(commands, self._setting.daemons.only("gpg-agent"))

    def count(self) -> int:
        """Packages in the index."""
        return TREES["apt"].count(self._published)

    def pulled_bytes(self, package: Package) -> int:
        """What apt downloads to learn of a new package."""
        return TREES["apt"].pulled(self._published, package)


class Aptly(AptPeer):
    """aptly with a local repository."""

    name = "aptly"
    legend = "`repo add` (or `repo remove`), then `publish repo` (or `publish update`); by-hash, no Contents, no bz2."

    def __init__(self, setting: Setting, directory: Path) -> None:
        need("aptly")
        super().__init__(setting, directory / "public")
        self._config = directory / "aptly.conf"
        self._key = setting.key
        directory.mkdir()
        settings = {"rootDir": str(directory), "architectures": ["amd64"], "gpgProvider": "gpg"}
        self._config.write_text(json.dumps(settings))
        measure([self._aptly("repo", "create", f"-distribution={SUITE}", "-component=main", "lab")])

    def _aptly(self, *arguments: str | Path) -> Command:
        return Command(["aptly", f"-config={self._config}", *arguments], self._environment)

    def _update(self) -> Command:
        options = ("-batch", f"-gpg-key={self._key}", "-skip-contents", "-skip-bz2")
        return self._aptly("publish", "update", *options, SUITE)

    def build(self, corpus: Corpus) -> Measured:
        """From nothing."""
        options = ("-batch", f"-gpg-key={self._key}", "-skip-contents", "-skip-bz2", "-acquire-by-hash")
        add = self._aptly("repo", "add", "lab", corpus.packages[0].path.parent)
        return self._measure([add, self._aptly("publish", "repo", *options, "lab")])

    def add(self, package: Package) -> Measured:
        """One more."""
        return self._measure([self._aptly("repo", "add", "lab", package.path), self._update()])

    def remove(self, package: Package) -> Measured:
        """One less."""
        return self._measure([self._aptly("repo", "remove", "lab", package.name), self._update()])

    def repeat(self, package: Package) -> Measured:
        """`publish update` writes and signs again."""
        return self._measure([self._update()])


class Reprepro(AptPeer):
    """reprepro."""

    name = "reprepro"
    legend = "`includedeb` (or `remove`), which exports Packages and Packages.gz; nothing changed: `export`."

    def __init__(self, setting: Setting, directory: Path) -> None:
        need("reprepro")
        super().__init__(setting, directory)
        self._base = directory
        (directory / "conf").mkdir(parents=True)
        (directory / "conf" / "distributions").write_text(
            f"Codename: {SUITE}\nSuite: {SUITE}\nArchitectures: amd64\nComponents: main\n"
            f"SignWith: {setting.key}\nDebIndices: Packages Release . .gz\n"
        )

    def _reprepro(self, *arguments: str | Path) -> Command:
        return Command(["reprepro", "--silent", "--basedir", self._base, *arguments], self._environment)

    def build(self, corpus: Corpus) -> Measured:
        """From nothing; a command line holds only so many names, so it is exported at the end."""
        paths = [package.path for package in corpus.packages]
        starts = range(0, len(paths), _ARGUMENTS_AT_ONCE)
        includes = [
            self._reprepro("--export=never", "includedeb", SUITE, *paths[at : at + _ARGUMENTS_AT_ONCE]) for at in starts
        ]
        return self._measure([*includes, self._reprepro("export", SUITE)])

    def add(self, package: Package) -> Measured:
        """One more."""
        return self._measure([self._reprepro("includedeb", SUITE, package.path)])

    def remove(self, package: Package) -> Measured:
        """One less."""
        return self._measure([self._reprepro("remove", SUITE, package.name)])

    def repeat(self, package: Package) -> Measured:
        """`export` writes and signs again."""
        return self._measure([self._reprepro("export", SUITE)])


class Ftparchive(AptPeer):
    """apt-ftparchive, with the steps around it that a script would do."""

    name = "apt-ftparchive"
    legend = (
        "the .debs copied into a pool; `packages` without a cache database, SHA-256 only; `gzip`; `release`; gpg signs "
        "twice (InRelease and Release.gpg); files written in place, no by-hash."
    )

    packers: Sequence[Sequence[str]] = (("gzip", "--no-name"),)

    def __init__(self, setting: Setting, directory: Path) -> None:
        need("apt-ftparchive")
        super().__init__(setting, directory)
        self._key = setting.key
        self._top = directory
        self._dist = directory / f"dists/{SUITE}"
        self._index_path = self._dist / "main/binary-amd64/Packages"
        self._index_path.parent.mkdir(parents=True)

    def build(self, corpus: Corpus) -> Measured:
        """From nothing."""
        copy: list[str | Path] = ["cp", "-r", corpus.packages[0].path.parent, self._top / "pool"]
        return self._measure(chain([Command(copy, self._environment)], self._index()))

    def add(self, package: Package) -> Measured:
        """One more."""
        copy: list[str | Path] = ["cp", package.path, self._top / "pool"]
        return self._measure(chain([Command(copy, self._environment)], self._index()))

    def remove(self, package: Package) -> Measured:
        """One less."""
        remove: list[str | Path] = ["rm", self._top / "pool" / package.path.name]
        return self._measure(chain([Command(remove, self._environment)], self._index()))

    def repeat(self, package: Package) -> Measured:
        """Looks at every file, writes and signs again."""
        return self._measure(self._index())

    def _index(self) -> Iterator[Command]:
        environment = self._environment
        hashes = [f"-oAPT::FTPArchive::{name}=false" for name in ("MD5", "SHA1", "SHA512")]
        archive: list[str | Path] = ["env", "-C", self._top, "apt-ftparchive", *hashes]
        release = self._top / "Release.new"
        names = [f"-oAPT::FTPArchive::Release::{name}={SUITE}" for name in ("Suite", "Codename")]
        rest = ["-oAPT::FTPArchive::Release::Architectures=amd64", "-oAPT::FTPArchive::Release::Components=main"]
        gpg: list[str | Path] = ["gpg", "--batch", "--no-tty", "--yes", "--local-user", self._key]
        yield Command([*archive, "packages", "pool"], environment, self._index_path)
        for packer in self.packers:
            yield Command([*packer, "--keep", "--force", self._index_path], environment)
        for old in ("Release", "Release.gpg", "InRelease"):
            (self._dist / old).unlink(missing_ok=True)
        yield Command([*archive, *names, *rest, "release", self._dist], environment, release)
        release.replace(self._dist / "Release")
        signed = self._dist / "Release"
        yield Command([*gpg, "--clearsign", "--output", self._dist / "InRelease", signed], environment)
        yield Command([*gpg, "--armor", "--detach-sign", "--output", f"{signed}.gpg", signed], environment)


class FtparchiveXz(Ftparchive):
    """apt-ftparchive that writes Packages.xz, too, as packrat-agent does."""

    name = "apt-ftparchive and xz"
    legend = "the same, and `xz -6`."
    packers = (("gzip", "--no-name"), ("xz", "-6", "--threads=1"))
