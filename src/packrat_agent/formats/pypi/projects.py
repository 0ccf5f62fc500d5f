"""Keeps the files of a pypi repository by project, and tells which projects a change touches.

1. A project's name is normalized, so that all spellings of it share a page (PEP 503).
2. A file that was uploaded for several distribution versions is listed once, with its oldest record. It is yanked if
   it is for all of them.
3. The place that mirrors of the original agent have for a file links to today's, if it differs and is free.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from packaging.utils import canonicalize_name

from packrat_agent.formats.pypi.former_place import former_place
from packrat_agent.formats.pypi.pages import published_path
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import TreeLink

_KNOWN_NAMES = 16_384
"""Number of spellings that are normalized once: those of a project's files are mostly the same."""


class Projects:
    """The files of each project, by the path under which clients find them."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, tuple[Entry, ...]]] = {}
        # How many files stand at each path, and the project of each file that stood there on older mirrors. Those that
        # stand where they stood are left out: that place is taken as long as they are there.
        self._taken: dict[str, int] = {}
        self._former: dict[str, tuple[str, ...]] = {}

    def names(self) -> Collection[str]:
        """The normalized names of all projects."""
        return self._records.keys()

    def files(self, project: str) -> list[tuple[str, Entry]]:
        """List the files of a project in the order of the paths under which clients find them, with these."""
        return [(path, _choose(records)) for path, records in sorted(self._records[project].items())]

    def links(self, files: Iterable[tuple[str, Entry]]) -> tuple[TreeLink, ...]:
        """List the links from the former places of files."""
        links = {former_place(entry.file.file_name): entry.path for _, entry in files}
        return tuple(
            TreeLink(place, f"../{path.removeprefix('packages/')}")
            for place, path in sorted(links.items())
            if place not in self._taken
        )

    def replace(self, gone: Iterable[Entry], new: Iterable[Entry]) -> set[str]:
        """Take entries out, and put others in; returns the projects that this touches, also those that go."""
        touched: set[str] = set()
        were_taken: dict[str, bool] = {}
        for entries, by in ((gone, -1), (new, 1)):
            for entry in entries:
                project, path = _normalize(entry.fragment.name), published_path(entry)
                touched.add(project)
                for taken in {path, entry.path}:
                    were_taken.setdefault(taken, taken in self._taken)
                    _count(self._taken, taken, by)
                if (place := former_place(entry.file.file_name)) not in (path, entry.path):
                    self._note_former(place, project, by)
                records = self._records.setdefault(project, {})
                known = records.get(path, ())
                if known:
                    known = tuple(other for other in known if other.file.uri != entry.file.uri)
                records[path] = (*known, entry) if by > 0 else known
        for project in touched:
            self._drop_empty(project)
        toggled = (path for path, was_taken in were_taken.items() if was_taken != (path in self._taken))
        return touched.union(*(self._former.get(path, ()) for path in toggled))

    def _note_former(self, place: str, project: str, by: int) -> None:
        projects = [*self._former.get(place, ())]
        if by > 0:
            projects.append(project)
        else:
            projects.remove(project)
        if projects:
            self._former[place] = tuple(projects)
        else:
            del self._former[place]

    def _drop_empty(self, project: str) -> None:
        rest = {path: records for path, records in self._records[project].items() if records}
        if rest:
            self._records[project] = rest
        else:
            del self._records[project]


@lru_cache(_KNOWN_NAMES)
def _normalize(name: str) -> str:
    return canonicalize_name(name)


def _count(counts: dict[str, int], key: str, by: int) -> None:
    count = counts.get(key, 0) + by
    if count:
        counts[key] = count
    else:
        del counts[key]


def _choose(records: Sequence[Entry]) -> Entry:
    if len(records) == 1:
        return records[0]
    oldest = min(records, key=lambda entry: entry.file.record_order)
    is_yanked = all(entry.file.yanked for entry in records)
    return oldest if oldest.file.yanked == is_yanked else replace(oldest, file=replace(oldest.file, yanked=is_yanked))
