"""Hashes what an index says of given entries, without cutting, compressing or keeping anything."""

import hashlib
from collections.abc import Iterable

from packrat_agent.formats.index_shards import Key, Texts
from packrat_agent.model.tree import sha256_of

_AT_ONCE = 100
_AT_ONCE_BYTES = 1024 * 1024
"""Packages are hashed together up to this number, or this size: a kernel's list of files has megabytes."""


def join_digests(digests: Iterable[str]) -> str:
    """Hash the SHA-256s of an index's files to one of all."""
    return sha256_of(digest.encode() for digest in digests)


class IndexHash:
    """The hash of an index whose records come in order; of one package the last record counts."""

    def __init__(self, files: int = 1) -> None:
        """Begin with an empty index.

        Args:
            files: How many files the index has.
        """
        self._files = [hashlib.sha256() for _ in range(files)]
        self._key: Key | None = None
        # Texts of the last packages: to hash many at once takes less time than one by one.
        self._waiting: list[Texts] = []
        self._waiting_bytes = 0

    def add(self, key: Key, texts: Texts) -> None:
        """Add a record; its package must not stand before that of the last one.

        Args:
            key: The package.
            texts: What each file says of it.
        """
        waiting = self._waiting
        if key == self._key:
            waiting[-1] = texts
            return
        # Each package of a full sync comes by here, so this calls nothing for each.
        if len(waiting) >= _AT_ONCE or self._waiting_bytes >= _AT_ONCE_BYTES:
            self._flush()
        self._key = key
        waiting.append(texts)
        for text in texts:
            self._waiting_bytes += len(text)

    def digest(self) -> str:
        """Give the hash of all files, as `ShardedIndex.digest` does."""
        self._flush()
        self._key = None
        return join_digests(file.hexdigest() for file in self._files)

    def _flush(self) -> None:
        for file, texts in zip(self._files, zip(*self._waiting, strict=True), strict=False):
            file.update(b"".join(texts))
        self._waiting.clear()
        self._waiting_bytes = 0
