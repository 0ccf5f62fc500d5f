"""Keeps the Packages indexes of one suite, one for each architecture and one for `all`, true to the suite's entries."""

from collections.abc import Sequence

from packrat_agent.formats.apt.layout import ALL
from packrat_agent.formats.apt.packages_index import packages_index, write_stanza
from packrat_agent.formats.sharded_index import Key, NewestRecords, ShardedIndex
from packrat_agent.model.entries import Entry


class Suite:
    """The entries of a suite; the index of each architecture has those for `all`, too."""

    def __init__(self) -> None:
        self._records = NewestRecords(write_stanza)
        self._indexes: dict[str, ShardedIndex] = {}

    def architectures(self) -> frozenset[str]:
        """The architectures that have packages of their own."""
        return self._records.architectures() - {ALL}

    def index_of(self, architecture: str) -> ShardedIndex:
        """Give the index of an architecture; one without packages of its own has those for `all`."""
        index = self._indexes.get(architecture)
        if index is None:
            index = self._indexes[architecture] = packages_index()
            index.replace((), {key: texts for key, texts in self._records.texts() if _is_listed(key, architecture)})
        return index

    def replace(self, gone: Sequence[Entry], new: Sequence[Entry]) -> None:
        """Take entries out of the suite, and put others in."""
        lost, changed = self._records.replace(gone, new)
        for architecture, index in self._indexes.items():
            index.replace(
                {key for key in lost if _is_listed(key, architecture)},
                {key: texts for key, texts in changed.items() if _is_listed(key, architecture)},
            )


def _is_listed(key: Key, architecture: str) -> bool:
    return key[2] in (architecture, ALL)
