"""Finds what clients gain and lose by a sync: package files in the index, counted as `status` counts them.

A package file is new to clients under another URI, with other bytes or in another place. A file that was in its place
before the agent knew of it (a lost state database, the tree of the original agent) is not new.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from packrat_agent.formats.interface import Treatment
from packrat_agent.model.entries import Entry, Parts, Plan, Refusal, StoredFile
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.state.file_state import FileState, Unreadable
from packrat_agent.state.packages import IndexedFile, WantedFile
from packrat_agent.sync.planning.published_parts import parts_of


@dataclass(frozen=True, slots=True)
class Before:
    """A repository's published and remembered files, as they were before a sync changed either."""

    indexed: Collection[IndexedFile]
    wanted_files: Collection[WantedFile]


@dataclass(frozen=True, slots=True)
class Gains:
    """The names of the package files that clients gain and lose, and of those that are yanked now, or no longer."""

    added: list[str]
    removed: list[str]
    yanked: list[str]
    unyanked: list[str]


def find_gains(
    before: Collection[IndexedFile], now: Collection[IndexedFile], stood: Collection[IndexedFile], treatment: Treatment
) -> Gains:
    """Compare what the index names with what it named before.

    Args:
        before: What it named before.
        now: What it names.
        stood: Those whose published files stood in their places, unknown to the agent.
        treatment: What is published of a package file.
    """
    had, has = set(before), set(now)
    marks = {file: file.yanked for file in before if file in has}
    changed = [file for file in now if file.yanked is not marks.get(file, file.yanked)]

    def names(files: Iterable[IndexedFile]) -> list[str]:
        return sorted(_name(file, treatment) for file in files)

    return Gains(
        names(has - had - set(stood)),
        names(had - has),
        names(file for file in changed if file.yanked),
        names(file for file in changed if not file.yanked),
    )


def of_entries(repo: Repo, entries: Iterable[Entry]) -> dict[IndexedFile, Parts]:
    """Map what an index names to what is published of it."""
    found = {}
    for entry in entries:
        path = path_in_root(repo, entry.path)
        file = IndexedFile(entry.file.uri, entry.file.sha256, path, entry.file.file_name, entry.file.yanked)
        found[file] = parts_of(path, entry.file.sha256, entry.fragment)
    return found


def of_plan(plan: Plan) -> dict[IndexedFile, Parts]:
    """Map what an index is going to name to what will be published of it; of what is not read yet, the place alone."""
    return {
        IndexedFile(p.file.uri, p.file.sha256, p.path, p.file.file_name, p.file.yanked): (
            plan.parts.get(p.file.uri) or {p.path: p.file.sha256}
        )
        for p in (*plan.keep, *plan.link, *plan.fetch)
    }


def standing(files: Mapping[IndexedFile, Parts], untracked: Mapping[str, StoredFile]) -> frozenset[IndexedFile]:
    """Choose the files of which everything stood in its place already, untracked: clients had them before."""
    if not untracked:
        return frozenset()
    return frozenset(file for file, parts in files.items() if _all_stood(parts, untracked))


def _all_stood(parts: Parts, untracked: Mapping[str, StoredFile]) -> bool:
    for path, sha256 in parts.items():
        there = untracked.get(path)
        if there is None or there.sha256 != sha256:
            return False
    return True


def refused_for_good(wanted_files: Iterable[WantedFile]) -> list[Refusal]:
    """List the files whose bytes can't be used, which are not tried again until their record changes."""
    return [
        Refusal(item.file, item.reason)
        for item in wanted_files
        if item.unreadable is Unreadable.UNTIL_RECORD_CHANGES and item.reason is not None
    ]


def new_refusals(refused: Iterable[Refusal], wanted_files: Iterable[WantedFile]) -> list[Refusal]:
    """Leave out what an earlier sync refused for the same reason."""
    known = {item.file: item.reason for item in wanted_files if item.state is FileState.REFUSED}
    return [refusal for refusal in refused if known.get(refusal.file) != refusal.reason]


def _name(file: IndexedFile, treatment: Treatment) -> str:
    # The place of an unpacked file is a directory that it shares with others.
    return f"{file.path} ({file.file_name})" if treatment is Treatment.UNPACKED else file.path
