"""Entries of an index that the state database alone would have, for renders without one."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from packrat_agent.formats.interface import package_order
from packrat_agent.model.entries import Entry, IndexedPackage


@dataclass(frozen=True)
class Standing:
    """Entries that are not held by the sync."""

    entries: list[Entry]

    def by_package(self, distro_versions: Collection[str]) -> Iterator[Entry]:
        found = [entry for entry in self.entries if entry.file.distro_version in distro_versions]
        return iter(sorted(found, key=package_order))

    def indexed(self, distro_versions: Collection[str]) -> Iterator[IndexedPackage]:
        for entry in self.by_package(distro_versions):
            fragment = entry.fragment
            key = (fragment.name, fragment.version, fragment.arch)
            yield IndexedPackage(key, entry.path, entry.sha256, entry.size, entry.body)

    def architectures(self, distro_versions: Collection[str]) -> frozenset[str]:
        return frozenset(entry.fragment.arch for entry in self.by_package(distro_versions))

    def names(self) -> list[tuple[str, str, int]]:
        counts = Counter((entry.file.package, entry.fragment.name) for entry in self.entries)
        return [(package, name, count) for (package, name), count in counts.items()]

    def of(self, packages: Collection[str]) -> list[Entry]:
        return [entry for entry in self.entries if entry.file.package in packages]

    def renamed(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.fragment.file_name not in ("", entry.file.file_name)]

    def places(self, paths: Collection[str]) -> set[str]:
        return {entry.path for entry in self.entries}.intersection(paths)
