"""Keeps compressed parts of indexes, so that publishing compresses only what changed.

A chunk is found by its coding and the SHA-256 of its plain bytes. What is not used for three days is dropped.
"""

import threading
import time

from packrat_agent.state.database import Database

_KEEP_UNUSED_S = 3 * 86400
_DROP_INTERVAL_S = 3600
"""Unused chunks are looked for this often: it reads the whole table, which is too much for each change."""
_MEMORY_LIMIT_BYTES = 8 * 1024 * 1024
_NEW_LIMIT_BYTES = 4 * 1024 * 1024
"""New chunks are written down before `save` where they come to more than this."""


class Chunks:
    """A ChunkCache on the state database, with the chunks of the last publishes in memory."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._memory: dict[tuple[str, str], bytes] = {}
        self._memory_size = 0
        self._used: set[tuple[str, str]] = set()
        self._new: dict[tuple[str, str], bytes] = {}
        self._new_size = 0
        # Several repositories are rendered at the same time.
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._dropped_at: float | None = None

    def get(self, coding: str, digest: str) -> bytes | None:
        """Look up compressed bytes; None if they have to be made."""
        key = (coding, digest)
        with self._lock:
            self._used.add(key)
            chunk = self._memory.get(key) or self._new.get(key)
        if chunk is None:
            rows = self._db.rows("SELECT chunk FROM chunks WHERE coding = ? AND digest = ?", key)
            if rows:
                chunk = rows[0][0]
                with self._lock:
                    self._remember(key, chunk)
        return chunk

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        """Remember the compressed bytes; `save` writes down those that are not written yet.

        Args:
            coding: How they are compressed.
            digest: The SHA-256 of the plain bytes.
            chunk: The compressed bytes.
        """
        with self._lock:
            self._new_size += len(chunk) - len(self._new.get((coding, digest), b""))
            self._new[coding, digest] = chunk
        if self._has_much():
            with self._writing:
                # Another thread may have stored them in the meantime.
                if self._has_much():
                    self._write_new()

    def save(self) -> None:
        """Write the new chunks down, note which were used, and once an hour drop what was not used for three days."""
        now, running_s = time.time(), time.monotonic()
        with self._writing:
            self._write_new()
        with self._lock:
            used = set(self._used)
            drops = self._dropped_at is None or running_s - self._dropped_at >= _DROP_INTERVAL_S
        with self._db.transaction() as db:
            # A use on the same day is not worth the write.
            stale = now - _KEEP_UNUSED_S / 3
            db.executemany(
                "UPDATE chunks SET used_at = ? WHERE coding = ? AND digest = ? AND used_at < ?",
                [(now, coding, digest, stale) for coding, digest in used],
            )
            if drops:
                db.execute("DELETE FROM chunks WHERE used_at < ?", (now - _KEEP_UNUSED_S,))
        with self._lock:
            self._used -= used
            if drops:
                self._dropped_at = running_s

    def _has_much(self) -> bool:
        with self._lock:
            return self._new_size > _NEW_LIMIT_BYTES

    def _write_new(self) -> None:
        """Write the new chunks down; the caller holds `_writing`, so that each is written once."""
        now = time.time()
        with self._lock:
            new = dict(self._new)
        if not new:
            return
        with self._db.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO chunks (coding, digest, used_at, chunk) VALUES (?, ?, ?, ?)",
                [(coding, digest, now, chunk) for (coding, digest), chunk in new.items()],
            )
        with self._lock:
            for key, chunk in new.items():
                self._remember(key, chunk)
                self._new_size -= len(self._new.pop(key, b""))

    def _remember(self, key: tuple[str, str], chunk: bytes) -> None:
        self._memory_size -= len(self._memory.pop(key, b""))
        if self._memory_size + len(chunk) > _MEMORY_LIMIT_BYTES:
            self._memory = {}
            self._memory_size = 0
        self._memory[key] = chunk
        self._memory_size += len(chunk)
