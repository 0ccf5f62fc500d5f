"""Counts, for each repository, how often something other than its own sync changed what is remembered of it.

What a sync holds in memory is good for as long as the count is what it was when that sync began.
"""

from collections import Counter


class Revisions:
    """The counts of one process; they start over with each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def of(self, repo: str) -> int:
        """Give the count of a repository."""
        return self._counts[repo]

    def advance(self, repo: str) -> None:
        """Count a change: a damaged file, a repository that left the mirror."""
        self._counts[repo] += 1
