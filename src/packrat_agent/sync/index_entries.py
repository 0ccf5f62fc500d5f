"""Holds the entries of one repository's index, so that a change costs what it changes, whatever the index holds."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import overload

from packrat_agent.model.entries import Entry, Part
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.sync.build import parts_of


class IndexEntries(Sequence[Entry]):
    """All entries of a repository, the oldest record first; they are put in order when somebody reads them all."""

    def __init__(self, repo: Repo, entries: Iterable[Entry] = ()) -> None:
        self._repo = repo
        self._by_package: dict[str, list[Entry]] = {}
        self._count = 0
        self._ordered: list[Entry] | None = None
        # Path relative to root_dir → the SHA-256 there, and how many entries need it. Filled when first asked for:
        # most repositories never ask.
        self._needed: dict[str, tuple[str, int]] | None = None
        self._add(entries)

    def of(self, packages: Collection[str]) -> list[Entry]:
        """Give the entries of the named packages."""
        return [entry for package in packages for entry in self._by_package.get(package, ())]

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
            for part in self._parts(entry):
                left_out[part.path] = left_out.get(part.path, 0) + 1
        return StandingPaths(self._needed, left_out)

    def paths_of(self, entries: Iterable[Entry]) -> Iterator[str]:
        """List the paths that entries need, relative to `root_dir`."""
        return (part.path for entry in entries for part in self._parts(entry))

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
            for part in self._parts(entry):
                count = self._needed.get(part.path, ("", 0))[1] + by
                if count > 0:
                    self._needed[part.path] = (part.sha256, count)
                else:
                    self._needed.pop(part.path, None)

    def _parts(self, entry: Entry) -> tuple[Part, ...]:
        return parts_of(path_in_root(self._repo, entry.path), entry.file.sha256, entry.fragment)

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


class StandingPaths(Mapping[str, str]):
    """Maps each path that a standing entry needs to the SHA-256 that stands there; a view that copies nothing."""

    def __init__(self, needed: Mapping[str, tuple[str, int]], left_out: Mapping[str, int]) -> None:
        self._needed = needed
        self._left_out = left_out

    def __getitem__(self, path: str) -> str:
        sha256, count = self._needed[path]
        if count <= self._left_out.get(path, 0):
            raise KeyError(path)
        return sha256

    def __iter__(self) -> Iterator[str]:
        return (path for path, (_, count) in self._needed.items() if count > self._left_out.get(path, 0))

    def __len__(self) -> int:
        return sum(1 for _ in self)
