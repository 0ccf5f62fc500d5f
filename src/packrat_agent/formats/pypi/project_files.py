"""Reads the files of some projects when their pages are written; most of them are not held in memory."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

from packaging.utils import canonicalize_name

from packrat_agent.formats.interface import StandingEntries
from packrat_agent.model.entries import Entry

_KNOWN_NAMES = 16_384
"""Number of spellings that are normalized once: those of a project's files are mostly the same."""


class ProjectFiles:
    """All entries of a repository: those that are held in memory, and those that stand."""

    def __init__(self, held: Iterable[Entry], standing: StandingEntries | None) -> None:
        self._held: dict[str, list[Entry]] = {}
        for entry in held:
            self._held.setdefault(project_of(entry), []).append(entry)
        self._held_places = {entry.path for entries in self._held.values() for entry in entries}
        self._standing = standing

    def portions(self, size: int) -> Iterator[dict[str, set[str]]]:
        """Map the names of all projects, in order, to the packages that their files are of; it may name more of both.

        Args:
            size: The most standing files that the projects of a portion have together; a project with more comes alone.
        """
        packages = {project: self.packages_held(project) for project in self._held}
        counts: dict[str, int] = {}
        for package, name, count in self._standing.names() if self._standing is not None else ():
            project = _normalize(name)
            packages.setdefault(project, set()).add(package)
            counts[project] = counts.get(project, 0) + count
        portion: dict[str, set[str]] = {}
        files = 0
        for project in sorted(packages):
            more = counts.get(project, 0)
            if portion and files + more > size:
                yield portion
                portion, files = {}, 0
            portion[project] = packages[project]
            files += more
        if portion:
            yield portion

    def packages_held(self, project: str) -> set[str]:
        """Name the packages that a project's entries in memory are of."""
        return {entry.file.package for entry in self._held.get(project, ())}

    def renamed(self) -> Iterator[Entry]:
        """Give at least the entries whose clients need another file name than that of the record."""
        for entries in self._held.values():
            yield from entries
        if self._standing is not None:
            yield from self._standing.renamed()

    def read(self, packages: Mapping[str, Collection[str]]) -> dict[str, list[Entry]]:
        """Read all entries of some projects.

        Args:
            packages: The name of each project → the packages that its standing files are of.
        """
        found = {project: [*self._held.get(project, ())] for project in packages}
        every = {package for some in packages.values() for package in some}
        for entry in self._standing.of(every) if self._standing is not None and every else ():
            if (project := project_of(entry)) in found:
                found[project].append(entry)
        return found

    def places(self, paths: Collection[str]) -> set[str]:
        """Give those of some paths that are the place of a file."""
        found = self._held_places.intersection(paths)
        if self._standing is not None:
            found.update(self._standing.places(frozenset(paths) - found))
        return found


def project_of(entry: Entry) -> str:
    """Give the normalized name of an entry's project."""
    return _normalize(entry.fragment.name)


@lru_cache(_KNOWN_NAMES)
def _normalize(name: str) -> str:
    return canonicalize_name(name)
