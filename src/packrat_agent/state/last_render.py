"""Holds in memory what each repository's index names, so that the next sync reads only the packages that changed.

The state database is the truth: without this cache a sync reads it whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from packrat_agent.model.entries import Entry


@dataclass(frozen=True, slots=True)
class LastRender:
    """What one sync rendered: all entries of the index, packages with refused files, the memo of the format."""

    entries: Sequence[Entry]
    refused: frozenset[str]
    memo: dict[str, Any]


_ENTRIES_LIMIT = 50_000
"""How many entries of all repositories are held, at some 2 to 3 KiB each; repositories that changed last stay."""


class LastRenders:
    """The last renders of the repositories that changed last; one sync of a repository at a time may use it."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[object, LastRender]] = {}

    def keep(self, repo: str, basis: object, render: LastRender) -> None:
        """Hold what a sync rendered.

        Args:
            repo: The name of the repository.
            basis: All that the entries depend on beside the state database.
            render: What was rendered.
        """
        self._found.pop(repo, None)
        self._found[repo] = (basis, render)
        while len(self._found) > 1 and sum(len(render.entries) for _, render in self._found.values()) > _ENTRIES_LIMIT:
            del self._found[next(iter(self._found))]

    def take(self, repo: str, basis: object) -> LastRender | None:
        """Hand over what is held, if it has the same basis; a sync that fails puts nothing back."""
        found = self._found.pop(repo, None)
        return found[1] if found is not None and found[0] == basis else None

    def drop(self, repo: str) -> None:
        """Forget the last render of a repository, because something else changed."""
        self._found.pop(repo, None)
