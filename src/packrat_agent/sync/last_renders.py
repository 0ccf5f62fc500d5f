"""Holds in memory what each repository's index names, so that the next sync reads only the packages that changed.

The state database is the truth: without this cache a sync reads it whole.
"""

from dataclasses import dataclass
from typing import Any

from packrat_agent.model.records import Repo
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.sync.planning.index_entries import KnownEntries


@dataclass(frozen=True, slots=True)
class Basis:
    """All that a render depends on beside its entries: a last render is valid only for the same basis.

    revision: that of the state database, see `state/revisions.py`; taken before the sync reads anything of it.
    """

    repo: Repo
    source: FragmentSource
    revision: int


@dataclass(frozen=True, slots=True)
class LastRender:
    """The render of one sync.

    entries: all entries of the index. refused: the packages with refused files. memo: that of the format. held: what
    the publications leave out until the operator confirms it.
    """

    entries: KnownEntries
    refused: frozenset[str]
    memo: dict[str, Any]
    held: str | None = None


_ENTRIES_LIMIT = 50_000
"""The most entries of all repositories that are held in memory, at some 2 to 3 KiB each; the last to change stay."""


class LastRenders:
    """The last renders of the repositories that changed last; one sync of a repository at a time may use it."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Basis, LastRender]] = {}
        self._placed: dict[str, tuple[Repo, FragmentSource]] = {}

    def keep(self, basis: Basis, render: LastRender) -> None:
        """Hold what a sync rendered that began on this basis."""
        self._found.pop(basis.repo.name, None)
        self._found[basis.repo.name] = (basis, render)
        while len(self._found) > 1 and sum(render.entries.held for _, render in self._found.values()) > _ENTRIES_LIMIT:
            del self._found[next(iter(self._found))]

    def take(self, basis: Basis) -> LastRender | None:
        """Hand over what is held, if it has the same basis; a sync that fails puts nothing back."""
        found = self._found.pop(basis.repo.name, None)
        return found[1] if found is not None and found[0] == basis else None

    def look(self, basis: Basis) -> LastRender | None:
        """Show what is held, if it has the same basis, and leave it."""
        found = self._found.get(basis.repo.name)
        return found[1] if found is not None and found[0] == basis else None

    def drop(self, repo: str) -> None:
        """Forget what is held of a repository."""
        self._found.pop(repo, None)

    def is_placed(self, basis: Basis) -> bool:
        """Tell whether all files of the repository were placed with this record and source."""
        return self._placed.get(basis.repo.name) == (basis.repo, basis.source)

    def begin_placing(self, basis: Basis) -> None:
        """Forget how the files of the repository were placed."""
        self._placed.pop(basis.repo.name, None)

    def end_placing(self, basis: Basis) -> None:
        """Note that all of them were placed; those that come later are placed as they come."""
        self._placed[basis.repo.name] = (basis.repo, basis.source)
