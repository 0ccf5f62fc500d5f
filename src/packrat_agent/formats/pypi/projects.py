"""Knows the projects of a pypi repository without their files, and tells which projects a change touches.

1. A project's name is normalized, so that all spellings of it share a page (PEP 503).
2. A file that was uploaded for several distribution versions is listed once, with its oldest record. It is yanked if
   it is for all of them.
3. The place that mirrors of the original agent have for a file links to today's, if it differs and is free.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from packrat_agent.formats.pypi.former_place import FormerPlaces, former_place
from packrat_agent.formats.pypi.pages import published_path
from packrat_agent.formats.pypi.project_files import ProjectFiles, project_of
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import TreeLink


class Projects:
    """The names of all projects, each with the packages on the server that its files are of."""

    def __init__(self) -> None:
        self._packages: dict[str, Sequence[str]] = {}
        # How many files have a path for clients that is not their place.
        self._renamed: dict[str, int] = {}
        # Without the files that stand where they stood: that place is taken as long as they are there.
        self._former = FormerPlaces()

    def names(self) -> Collection[str]:
        """The normalized names of all projects."""
        return self._packages.keys()

    def packages(self, project: str) -> Sequence[str]:
        """Name the packages that the files of a project are of; none where there is no such project."""
        return self._packages.get(project, ())

    def note(self, project: str, entries: Collection[Entry]) -> None:
        """Take note of all entries of a project; without any it is no longer a project."""
        if not entries:
            self._packages.pop(project, None)
            return
        packages = sorted({entry.file.package for entry in entries})
        # Most often they have the same name: that is one text then.
        self._packages[project] = (project,) if packages == [project] else tuple(packages)

    def replace(self, gone: Iterable[Entry], new: Iterable[Entry]) -> set[str]:
        """Take note of the places of entries that go and come; gives the projects that this may touch."""
        touched: set[str] = set()
        paths: set[str] = set()
        for entries, by in ((gone, -1), (new, 1)):
            for entry in entries:
                touched.add(project_of(entry))
                self.note_renamed(entry, by)
                self.note_former(entry)
                paths.update((published_path(entry), entry.path))
        # Where a path is taken, or free again, a link goes or comes.
        linking = {project for path in paths for project in self._former.projects_of(path)}
        return touched | linking.intersection(self.names())

    def note_renamed(self, entry: Entry, by: int = 1) -> None:
        """Note how many more files an entry brings that clients find beside their place."""
        path = published_path(entry)
        if path == entry.path:
            return
        count = self._renamed.get(path, 0) + by
        if count:
            self._renamed[path] = count
        else:
            del self._renamed[path]

    def note_former(self, entry: Entry) -> None:
        """Note where the file of an entry stood on older mirrors."""
        if (place := _other_former_place(entry)) is not None:
            self._former.add(place, project_of(entry))

    def links(
        self, projects: Mapping[str, Collection[tuple[str, Entry]]], files: ProjectFiles
    ) -> Mapping[str, tuple[TreeLink, ...]]:
        """Map each of some projects, given with their files, to the links from the former places of these.

        Args:
            projects: The name of each project → its files, with the paths under which clients find them.
            files: All files.
        """
        leading = {
            name: {place: entry.path for _, entry in listed if (place := _other_former_place(entry)) is not None}
            for name, listed in projects.items()
        }
        former = {place for links in leading.values() for place in links} - self._renamed.keys()
        free = former - files.places(former) if former else former
        return {
            name: tuple(
                TreeLink(place, f"../{path.removeprefix('packages/')}")
                for place, path in sorted(links.items())
                if place in free
            )
            for name, links in leading.items()
        }

    def equals(self, other: "Projects") -> bool:
        """Tell whether another one knows the same projects."""
        return (self._packages, self._renamed) == (other._packages, other._renamed)


def list_files(entries: Iterable[Entry]) -> list[tuple[str, Entry]]:
    """List the files of a project in the order of the paths under which clients find them, with these."""
    records: dict[str, list[Entry]] = {}
    for entry in entries:
        records.setdefault(published_path(entry), []).append(entry)
    return [(path, _choose(of_path)) for path, of_path in sorted(records.items())]


def _other_former_place(entry: Entry) -> str | None:
    place = former_place(entry.file.file_name)
    return None if place in (entry.path, published_path(entry)) else place


def _choose(records: Sequence[Entry]) -> Entry:
    if len(records) == 1:
        return records[0]
    oldest = min(records, key=lambda entry: entry.file.record_order)
    is_yanked = all(entry.file.yanked for entry in records)
    return oldest if oldest.file.yanked == is_yanked else replace(oldest, file=replace(oldest.file, yanked=is_yanked))
