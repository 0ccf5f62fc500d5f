"""Holds in memory what each repository's index names, so that the next pass reads only the packages that changed.

Takes: the entries of an index that is published.
Gives: the same back, once, unless something else changed since.
Touches: nothing; the state database is the truth, and without this a pass reads it whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from packrat_agent.model.entries import Entry


@dataclass(frozen=True, slots=True)
class LastRender:
    """What one pass left behind: all entries of the index, packages with refused files, the memo of the format."""

    entries: Sequence[Entry]
    refused: frozenset[str]
    memo: dict[str, Any]


_ENTRIES_LIMIT = 50_000
"""How many entries of all repositories are held, at some 2 to 3 KiB each; those that changed last come first."""


class LastRenders:
    """The last whole outcome of the repositories that changed last; for one pass of a repository at a time."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[object, LastRender]] = {}

    def keep(self, repo: str, basis: object, standing: LastRender) -> None:
        """Hold what a pass left behind. basis: all that the entries depend on beside the state database."""
        self._found.pop(repo, None)
        self._found[repo] = (basis, standing)
        while len(self._found) > 1 and sum(len(one.entries) for _, one in self._found.values()) > _ENTRIES_LIMIT:
            del self._found[next(iter(self._found))]

    def take(self, repo: str, basis: object) -> LastRender | None:
        """Hand over what was held, where it has the same basis: a pass that fails leaves nothing behind."""
        found = self._found.pop(repo, None)
        return found[1] if found is not None and found[0] == basis else None

    def drop(self, repo: str) -> None:
        """Let go of what no longer holds."""
        self._found.pop(repo, None)
