"""The chunk cache keeps what is used, forgets what is not, and holds little in memory."""

import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from packrat_agent.state.store import Store

_DAY_S = 86400
_HOUR_S = 3600
_MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def save(store: Store, *digests: str) -> None:
    for digest in digests:
        store.chunks.put("gz", digest, digest.encode())
    store.chunks.save()


def last_used(store: Store, age_s: float) -> None:
    """Let all chunks have been used so long ago."""
    with store._db.transaction() as db:
        db.execute("UPDATE chunks SET used_at = ?", (time.time() - age_s,))


def look_again(store: Store, age_s: float = _HOUR_S) -> None:
    """Let the last look for unused chunks have been so long ago."""
    assert store.chunks._dropped_at is not None
    store.chunks._dropped_at -= age_s


def ages_s(store: Store) -> dict[str, float]:
    rows = store._db.rows("SELECT digest, used_at FROM chunks")
    return {digest: time.time() - used_at for digest, used_at in rows}


def test_a_chunk_survives_a_restart_under_its_coding(tmp_path: Path) -> None:
    store = Store(tmp_path / "again.db")
    store.chunks.put("gz", "d", b"compressed")
    assert store.chunks.get("gz", "d") == b"compressed"
    store.chunks.save()
    store.close()
    again = Store(tmp_path / "again.db")
    assert again.chunks.get("gz", "d") == b"compressed"
    assert again.chunks.get("xz", "d") is None
    again.close()


def test_chunks_unused_for_three_days_go_and_used_ones_stay(store: Store) -> None:
    save(store, "used", "unused")
    last_used(store, 3 * _DAY_S + 60)
    look_again(store)
    assert store.chunks.get("gz", "used") == b"used"
    save(store, "new")
    assert set(ages_s(store)) == {"used", "new"}
    assert max(ages_s(store).values()) < 60


def test_a_use_under_one_coding_keeps_no_chunk_of_another(store: Store) -> None:
    store.chunks.put("xz", "same", b"other coding")
    save(store, "same")
    last_used(store, 3 * _DAY_S + 60)
    look_again(store)
    assert store.chunks.get("gz", "same") == b"same"
    save(store)
    assert store._db.rows("SELECT coding FROM chunks") == [("gz",)]


def test_a_chunk_is_read_from_the_disk_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "again.db")
    save(store, "d")
    store.close()
    again = Store(tmp_path / "again.db")
    assert again.chunks.get("gz", "d") == b"d"
    with again._db.transaction() as db:
        db.execute("DELETE FROM chunks")
    assert again.chunks.get("gz", "d") == b"d"
    again.close()


def test_chunks_unused_for_two_days_stay(store: Store) -> None:
    save(store, "unused")
    last_used(store, 3 * _DAY_S - 60)
    look_again(store)
    save(store, "new")
    assert set(ages_s(store)) == {"unused", "new"}


def test_a_use_on_the_same_day_writes_no_row_again(store: Store) -> None:
    save(store, "used")
    last_used(store, _DAY_S - 60)
    assert store.chunks.get("gz", "used") == b"used"
    save(store)
    assert ages_s(store)["used"] > _DAY_S - 120


def test_a_use_counts_for_one_save_only(store: Store) -> None:
    save(store, "used")
    assert store.chunks.get("gz", "used") == b"used"
    save(store)
    last_used(store, 3 * _DAY_S + 60)
    look_again(store)
    save(store)
    assert ages_s(store) == {}


def test_unused_chunks_are_looked_for_once_an_hour_and_after_a_start(tmp_path: Path) -> None:
    """Looking for them means reading the whole table, which takes longer than a small publication."""
    store = Store(tmp_path / "again.db")
    save(store, "d")
    last_used(store, 3 * _DAY_S + 60)
    store.chunks._used.clear()
    look_again(store, _HOUR_S - 60)
    save(store)
    assert set(ages_s(store)) == {"d"}
    store.close()
    again = Store(tmp_path / "again.db")
    save(again)
    assert ages_s(again) == {}
    again.close()


def test_the_memory_that_chunks_hold_is_limited(store: Store) -> None:
    tracemalloc.start()
    try:
        for number in range(72):
            store.chunks.put("xz", str(number), os.urandom(_MIB))
            store.chunks.save()
        held, _ = tracemalloc.get_traced_memory()
        assert held < 50 * _MIB
        for number in range(72):
            assert store.chunks.get("xz", str(number)) is not None
        held, _ = tracemalloc.get_traced_memory()
        assert held < 50 * _MIB
    finally:
        tracemalloc.stop()


def test_new_chunks_don_t_wait_in_memory_for_the_save(store: Store) -> None:
    tracemalloc.start()
    try:
        for number in range(72):
            store.chunks.put("xz", str(number), os.urandom(_MIB))
        held, _ = tracemalloc.get_traced_memory()
        assert held < 50 * _MIB
    finally:
        tracemalloc.stop()


def test_a_new_chunk_that_is_put_again_counts_once(store: Store) -> None:
    for _ in range(5):
        store.chunks.put("xz", "same", bytes(_MIB))
    # No more than the limit of new chunks, so nothing was written down.
    assert store._db.rows("SELECT digest FROM chunks") == []


def test_a_chunk_that_is_saved_again_counts_once_and_is_served_from_memory(store: Store) -> None:
    store.chunks.put("xz", "other", b"other")
    for _ in range(72):
        store.chunks.put("xz", "same", bytes(_MIB))
        store.chunks.save()
    with store._db.transaction() as db:
        db.execute("DELETE FROM chunks")
    assert store.chunks.get("xz", "other") == b"other"


def test_new_chunks_are_written_once_though_other_threads_put_meanwhile(store: Store) -> None:
    written: list[str] = []
    store._db._connection.set_trace_callback(lambda sql: written.append(sql) if sql.startswith("INSERT") else None)
    puts = [partial(store.chunks.put, "xz", str(number), bytes(4 * _MIB + number)) for number in range(4)]
    threads = [threading.Thread(target=put) for put in puts]
    # Those that exceed the limit wait for the database.
    with store._db._lock:
        for thread in threads:
            thread.start()
        until = time.monotonic() + 60
        while len(store.chunks._new) < len(threads):
            assert time.monotonic() < until
            threading.Event().wait(0.01)
    for thread in threads:
        thread.join(60)
    store.chunks.save()
    assert len(written) == len(threads)
