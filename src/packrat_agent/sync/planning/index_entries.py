"""Knows the entries of one repository's index, so that a change costs what it changes, whatever the index holds.

`IndexEntries` holds them in memory, `StoredEntries` reads them from the state database: enough for a format that keeps
its index itself.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, overload

from packrat_agent.model.entries import Entry, IndexedPackage, Parts
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.state.live_entries import LiveEntries
from packrat_agent.sync.planning.published_parts import parts_of


class KnownEntries(Protocol):
    """What a sync of some packages asks of the entries that its repository's index has."""

    @property
    def held(self) -> int:
        """How many entries are held in memory."""

    def of(self, packages: Collection[str], uris: Collection[str] | None = None) -> list[Entry]:
        """Give the entries of the named packages; of these only those with some URIs, None for all."""

    def standing(self, without: Sequence[Entry]) -> Mapping[str, str]:
        """Map each path that an entry needs to the SHA-256 there, those left out that only `without` needs."""

    def shared(self, paths: Collection[str], without: Sequence[Entry]) -> frozenset[str]:
        """Give those of some paths that other entries than `without` need, too."""

    def paths_of(self, entries: Iterable[Entry]) -> Iterator[str]:
        """List the paths that entries need, relative to `root_dir`."""


class IndexEntries(Sequence[Entry]):
    """All entries of a repository, the oldest record first; they are put in order when somebody reads them all."""

    def __init__(self, repo: Repo, entries: Iterable[Entry] = ()) -> None:
        self._repo = repo
        self._by_package: dict[str, list[Entry]] = {}
        self._count = 0
        self._ordered: list[Entry] | None = None
        # Path relative to root_dir → the SHA-256 there, and how many entries need it where there are several.
        # Filled when first asked for: most repositories never ask.
        self._needed: dict[str, str] | None = None
        self._shared: dict[str, int] = {}
        self._add(entries)

    @property
    def held(self) -> int:
        """How many entries are held in memory: all."""
        return self._count

    def of(self, packages: Collection[str], uris: Collection[str] | None = None) -> list[Entry]:
        """Give the entries of the named packages; of these only those with some URIs, None for all."""
        found = (entry for package in packages for entry in self._by_package.get(package, ()))
        return [entry for entry in found if uris is None or entry.file.uri in uris]

    def replace(self, gone: Sequence[Entry], entries: Sequence[Entry]) -> None:
        """Put `entries` in the place of `gone`."""
        uris = {entry.file.uri for entry in gone}
        for package in {entry.file.package for entry in gone}:
            rest = [entry for entry in self._by_package.pop(package) if entry.file.uri not in uris]
            if rest:
                self._by_package[package] = rest
        self._count -= len(gone)
        self._count_parts(gone, -1)
        self._ordered = None
        self._add(entries)

    def standing(self, without: Sequence[Entry]) -> "StandingPaths":
        """Tell which paths the entries need, those of `without` left out."""
        if self._needed is None:
            self._needed = {}
            self._count_parts((entry for entries in self._by_package.values() for entry in entries), 1)
        left_out: dict[str, int] = {}
        for entry in without:
            for path in _parts(self._repo, entry):
                left_out[path] = left_out.get(path, 0) + 1
        return StandingPaths(self._needed, self._shared, left_out)

    def shared(self, paths: Collection[str], without: Sequence[Entry]) -> frozenset[str]:
        """Give those of some paths that entries beside `without` need, too."""
        standing = self.standing(without)
        return frozenset(path for path in paths if path in standing)

    def paths_of(self, entries: Iterable[Entry]) -> Iterator[str]:
        """List the paths that entries need, relative to `root_dir`."""
        return (path for entry in entries for path in _parts(self._repo, entry))

    def _add(self, entries: Iterable[Entry]) -> None:
        added = list(entries)
        for entry in added:
            self._by_package.setdefault(entry.file.package, []).append(entry)
        self._count += len(added)
        self._count_parts(added, 1)

    def _count_parts(self, entries: Iterable[Entry], by: int) -> None:
        if self._needed is None:
            return
        for entry in entries:
            for path, sha256 in _parts(self._repo, entry).items():
                count = (self._shared.pop(path, 1) if path in self._needed else 0) + by
                if count > 0:
                    self._needed[path] = sha256
                else:
                    self._needed.pop(path, None)
                if count > 1:
                    self._shared[path] = count

    def _in_order(self) -> list[Entry]:
        if self._ordered is None:
            everything = (entry for entries in self._by_package.values() for entry in entries)
            self._ordered = sorted(everything, key=lambda entry: entry.file.record_order)
        return self._ordered

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._in_order())

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | Sequence[Entry]:
        return self._in_order()[at]


class StoredEntries:
    """The entries of an index that the state database has, of package files that share no places."""

    def __init__(self, repo: Repo, live: LiveEntries) -> None:
        self._repo = repo
        self._live = live

    @property
    def held(self) -> int:
        """How many entries are held in memory: none."""
        return 0

    def of(self, packages: Collection[str], uris: Collection[str] | None = None) -> list[Entry]:
        """Give the entries of the named packages; of these only those with some URIs, None for all."""
        return self._live.of(packages) if uris is None else self._live.of_files(uris)

    def standing(self, without: Sequence[Entry]) -> Mapping[str, str]:
        """Give nothing: only files that share places are asked for what stands there."""
        return {}

    def shared(self, paths: Collection[str], without: Sequence[Entry]) -> frozenset[str]:
        """Give those of some paths that entries beside `without` need, too."""
        found = self._live.standing(paths, {entry.file.uri for entry in without})
        # What stands beside package files is shared by those that have the same bytes.
        if alone := [entry for entry in without if any(product.beside for product in entry.fragment.products)]:
            found |= frozenset(paths).intersection(self.paths_of(self._live.of_same_bytes(alone)))
        return found

    def paths_of(self, entries: Iterable[Entry]) -> Iterator[str]:
        """List the paths that entries need, relative to `root_dir`."""
        return (path for entry in entries for path in _parts(self._repo, entry))


class SettledEntries:
    """The entries of an index that a sync leaves as they are; the state database has them."""

    def __init__(self, repo: Repo, live: LiveEntries, looked_at: Collection[str]) -> None:
        """Take the state database.

        Args:
            repo: The repository.
            live: What it has of its index.
            looked_at: The URIs of the other entries.
        """
        self._repo = repo
        self._live = live
        self._looked_at = looked_at

    def by_package(self, distro_versions: Collection[str]) -> Iterator[Entry]:
        """List those for some distribution versions by package, the oldest record of each first."""
        return self._live.by_package(distro_versions, self._looked_at)

    def indexed(self, distro_versions: Collection[str]) -> Iterator[IndexedPackage]:
        """List the same without the server's records, if all entries of the index are settled."""
        return self._live.indexed(distro_versions)

    def architectures(self, distro_versions: Collection[str]) -> frozenset[str]:
        """Name the architectures of those for some distribution versions."""
        return self._live.architectures(distro_versions)

    def names(self) -> Iterable[tuple[str, str, int]]:
        """Give the server's package, the name in the file, and how many files have both; it may count more."""
        return self._live.names()

    def of(self, packages: Collection[str]) -> list[Entry]:
        """Give those of some of the server's packages."""
        return [entry for entry in self._live.of(packages) if entry.file.uri not in self._looked_at]

    def renamed(self) -> list[Entry]:
        """Give those whose clients need another file name than that of the record."""
        return [entry for entry in self._live.renamed() if entry.file.uri not in self._looked_at]

    def places(self, paths: Collection[str]) -> frozenset[str]:
        """Give those of some paths that are the place of one; relative to the repository's directory."""
        inside = path_in_root(self._repo, "")
        found = self._live.standing([inside + path for path in paths], self._looked_at)
        return frozenset(path.removeprefix(inside) for path in found)


def _parts(repo: Repo, entry: Entry) -> Parts:
    return parts_of(path_in_root(repo, entry.path), entry.file.sha256, entry.fragment)


class StandingPaths(Mapping[str, str]):
    """Maps each path that a standing entry needs to the SHA-256 that stands there; a view that copies nothing."""

    def __init__(self, needed: Mapping[str, str], shared: Mapping[str, int], left_out: Mapping[str, int]) -> None:
        """View the needed paths without the entries that are left out.

        Args:
            needed: Path → the SHA-256 there.
            shared: How many entries need it, where that is more than one.
            left_out: How many of them don't count.
        """
        self._needed = needed
        self._shared = shared
        self._left_out = left_out

    def __getitem__(self, path: str) -> str:
        sha256 = self._needed[path]
        if not self._stands(path):
            raise KeyError(path)
        return sha256

    def __iter__(self) -> Iterator[str]:
        return filter(self._stands, self._needed)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _stands(self, path: str) -> bool:
        return path not in self._left_out or self._shared.get(path, 1) > self._left_out[path]
