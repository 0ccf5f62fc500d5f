"""The programs beside which the other types are measured: createrepo_c, dumb-pypi, aria2c; and who has none."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from bench.corpus import Corpus, Package
from bench.meter import BenchError, Command, Measured, measure
from bench.peers_apt import need
from bench.setting import Setting
from bench.trees import TREES
from bench.web import serving

_DUMB_PYPI = Path(__file__).parents[1] / ".cache/bench/bin/dumb-pypi"


class _Peer:
    """A repository in a directory, made of copies of the package files."""

    kind: str

    def __init__(self, setting: Setting, directory: Path) -> None:
        self._setting = setting
        self._environment = setting.environment
        self._top = directory
        directory.mkdir()

    def _measure(self, commands: Iterator[Command]) -> Measured:
        return measure(commands, self._setting.daemons.only("gpg-agent"))

    def count(self) -> int | None:
        """Packages in the index."""
        return TREES[self.kind].count(self._top)

    def pulled_bytes(self, package: Package) -> int | None:
        """What a client downloads to learn of a new package."""
        return TREES[self.kind].pulled(self._top, package)


class Createrepo(_Peer):
    """createrepo_c."""

    name = "createrepo_c"
    kind = "yum"
    legend = "the rpms copied; `createrepo_c`, then `createrepo_c --update`; gpg signs repomd.xml; gzip, no databases."

    def build(self, corpus: Corpus) -> Measured:
        """From nothing."""
        copy: list[str | Path] = ["cp", "-r", corpus.packages[0].path.parent, self._top / "rpms"]
        return self._measure(chain([Command(copy, self._environment)], self._index()))

    def add(self, package: Package) -> Measured:
        """One more."""
        copy: list[str | Path] = ["cp", package.path, self._top / "rpms"]
        return self._measure(chain([Command(copy, self._environment)], self._index("--update")))

    def remove(self, package: Package) -> Measured:
        """One less."""
        remove: list[str | Path] = ["rm", self._top / "rpms" / package.path.name]
        return self._measure(chain([Command(remove, self._environment)], self._index("--update")))

    def repeat(self, package: Package) -> Measured:
        """Looks at every file, writes and signs again."""
        return self._measure(self._index("--update"))

    def _index(self, *options: str) -> Iterator[Command]:
        create = ["createrepo_c", "--quiet", "--no-database", "--general-compress-type=gz", *options]
        yield Command([*create, self._top], self._environment)
        signed = self._top / "repodata/repomd.xml"
        gpg = ["gpg", "--batch", "--no-tty", "--yes", "--local-user", self._setting.key, "--armor", "--detach-sign"]
        yield Command([*gpg, signed], self._environment)


class DumbPypi(_Peer):
    """dumb-pypi, with the hashes that pip wants."""

    name = "dumb-pypi"
    kind = "pypi"
    legend = (
        "`sha256sum` of the new files; the whole list; `dumb-pypi` with the list before; unsigned, no metadata files."
    )

    def __init__(self, setting: Setting, directory: Path) -> None:
        super().__init__(setting, directory)
        if not _DUMB_PYPI.exists():
            raise BenchError("dumb-pypi is not installed: run `tests/provision.sh dumb-pypi`")
        self._files: dict[str, Package] = {}

    def build(self, corpus: Corpus) -> Measured:
        """From nothing."""
        self._files = {package.path.name: package for package in corpus.packages}
        packages = corpus.packages[0].path.parent
        copy: list[str | Path] = ["cp", "-r", packages, self._top / "packages"]
        hashes: list[str | Path] = ["find", packages, "-type", "f", "-exec", "sha256sum", "{}", "+"]
        return self._measure(
            chain([Command(copy, self._environment), Command(hashes, self._environment)], self._index())
        )

    def add(self, package: Package) -> Measured:
        """One more."""
        self._files[package.path.name] = package
        copy: list[str | Path] = ["cp", package.path, self._top / "packages"]
        hashes: list[str | Path] = ["sha256sum", package.path]
        return self._measure(
            chain([Command(copy, self._environment), Command(hashes, self._environment)], self._index())
        )

    def remove(self, package: Package) -> Measured:
        """One less; dumb-pypi doesn't take a page away with its last file."""
        del self._files[package.path.name]
        (self._top / f"simple/{package.name.replace('_', '-')}/index.html").unlink(missing_ok=True)
        remove: list[str | Path] = ["rm", self._top / "packages" / package.path.name]
        return self._measure(chain([Command(remove, self._environment)], self._index()))

    def repeat(self, package: Package) -> Measured:
        """Finds that no page has to be written."""
        return self._measure(self._index())

    def _index(self) -> Iterator[Command]:
        path, before = self._top / "packages.json", self._top / "before.json"
        options: list[str | Path] = []
        if path.exists():
            path.replace(before)
            options = ["--previous-package-list-json", before]
        lines = [
            json.dumps({"filename": name, "hash": f"sha256={package.sha256}"}) for name, package in self._files.items()
        ]
        path.write_text("\n".join(lines) + "\n")
        line: list[str | Path] = [
            _DUMB_PYPI,
            "--package-list-json",
            path,
            *options,
            "--output-dir",
            self._top,
            "--no-per-release-json",
        ]
        yield Command([*line, "--packages-url", "../../packages"], self._environment)


class Aria2(_Peer):
    """aria2c, which downloads and checks a list of files and makes no index."""

    name = "aria2c"
    kind = "json"
    legend = "downloads every file from nginx over loopback HTTP, eight at a time, and checks its SHA-256; no index."

    def build(self, corpus: Corpus) -> Measured:
        """All files."""
        need("aria2c", "nginx")
        with serving(corpus.packages[0].path.parent) as url:
            return self._fetch(url, corpus.packages)

    def add(self, package: Package) -> Measured:
        """One file."""
        with serving(package.path.parent) as url:
            return self._fetch(url, (package,))

    def remove(self, package: Package) -> None:
        """It knows no withdrawals."""

    def repeat(self, package: Package) -> None:
        """As remove."""

    def count(self) -> None:
        """It makes no index."""

    def pulled_bytes(self, package: Package) -> None:
        """As count."""

    def _fetch(self, url: str, packages: tuple[Package, ...]) -> Measured:
        wanted = self._top / "wanted"
        wanted.write_text("".join(f"{url}/{item.path.name}\n checksum=sha-256={item.sha256}\n" for item in packages))
        line: list[str | Path] = ["aria2c", "--quiet", "--no-conf", "-j8", "-d", self._top, "-i", wanted]
        return self._measure(iter([Command(line, self._environment)]))
