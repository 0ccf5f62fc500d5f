"""Keeps the lists of a json repository true to its entries, so that a change writes only the lines that it touches.

Each path is listed once, with its oldest record: a file may have been uploaded for several distribution versions.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

from packrat_agent.formats.json.manifest import join_manifest, write_line, write_package
from packrat_agent.model.entries import Entry


class FileLists:
    """The text of each file and of each package in the lists, in their order."""

    def __init__(self) -> None:
        self._records: dict[str, tuple[Entry, ...]] = {}
        self._paths: list[str] = []
        self._lines: dict[str, bytes] = {}
        self._paths_of: dict[str, set[str]] = {}
        self._packages: dict[str, bytes] = {}
        self._names: list[str] = []

    def sums(self) -> bytes:
        """List SHA-256 and path of each file, for `sha256sum -c` in the repository's directory."""
        return b"".join(map(self._lines.__getitem__, self._paths))

    def manifest(self) -> bytes:
        """Map each package to its files, as a JSON object with sorted keys."""
        return join_manifest([self._packages[package] for package in self._names])

    def replace(self, gone: Iterable[Entry], new: Iterable[Entry]) -> None:
        """Take entries out, and put others in."""
        touched: dict[str, str] = {}
        for entry in gone:
            known = self._records[entry.path]
            self._records[entry.path] = tuple(other for other in known if other.file.uri != entry.file.uri)
            touched[entry.path] = entry.file.package
        for entry in new:
            self._records[entry.path] = (*self._records.get(entry.path, ()), entry)
            touched[entry.path] = entry.file.package
        if len(touched) > len(self._paths):
            self._paths = sorted({*self._paths, *touched})
        for path, package in touched.items():
            self._write_line(path, package)
        packages = frozenset(touched.values())
        for package in packages:
            self._write_package(package)
        if len(packages) > len(self._names):
            self._names = sorted(self._packages)
            return
        for package in packages:
            self._list_name(package)

    def _write_line(self, path: str, package: str) -> None:
        at = bisect_left(self._paths, path)
        is_there = self._paths[at : at + 1] == [path]
        if self._records[path]:
            self._lines[path] = write_line(self._listed(path))
            self._paths_of.setdefault(package, set()).add(path)
            if not is_there:
                insort(self._paths, path)
        else:
            del self._records[path]
            self._lines.pop(path, None)
            self._paths_of.get(package, set()).discard(path)
            if is_there:
                del self._paths[at]

    def _write_package(self, package: str) -> None:
        paths = self._paths_of.get(package)
        if paths:
            self._packages[package] = write_package(package, [self._listed(path) for path in sorted(paths)])
        else:
            self._paths_of.pop(package, None)
            self._packages.pop(package, None)

    def _list_name(self, package: str) -> None:
        at = bisect_left(self._names, package)
        is_there, is_named = package in self._packages, self._names[at : at + 1] == [package]
        if is_there and not is_named:
            self._names.insert(at, package)
        elif is_named and not is_there:
            del self._names[at]

    def _listed(self, path: str) -> Entry:
        return min(self._records[path], key=lambda entry: entry.file.record_order)
