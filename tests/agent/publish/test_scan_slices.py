"""Which content a scan reads: a small tree at once, a larger one in slices; what looks otherwise in any case."""

import mmap
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.publish.scan import scan
from packrat_agent.publish.scan_slices import NEW_ROUND, ScanLimits, Slice, plan_slice, whole_tree
from packrat_agent.publish.scan_values import Scan, ScanRequest
from packrat_agent.publish.walk import Directories, order_of, walk
from packrat_agent.state.facts import ScanRound
from packrat_core.fs.page_cache import find_uncached
from support.remembered import known_files, put_file, remembering, scan_store

DAY_S = 86400.0
NOW = 1_000_000_000.0
LIMITS = ScanLimits(bytes_per_s=100, days=None, interval_s=900)
NOTHING = Slice(NEW_ROUND, 0)
CLOCK_REALTIME_COARSE = 5


def is_same_tick(ctime_ns: int) -> bool:
    """Tell whether the clock of which the kernel takes a ctime has not gone on, so that a write need not change it."""
    return time.clock_gettime_ns(CLOCK_REALTIME_COARSE) <= ctime_ns


def tries() -> Iterator[int]:
    """Count tries to scan a file before the kernel's clock goes on; give up where it always does."""
    yield from range(2000)
    pytest.skip("the clock of this kernel goes on faster than a file can be scanned")


def settle(root: Path) -> None:
    """Wait until a later write changes the ctime of all files."""
    newest = max(path.stat().st_ctime_ns for path in root.rglob("*"))
    while time.time_ns() - newest < 20_000_000:
        os.sched_yield()


def damaged_paths(found: Scan) -> list[str]:
    return [file.path for file in found.damaged]


def flip(path: Path) -> None:
    """Change the bytes of a file and none of the times that a program can set."""
    status = path.stat()
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_the_line_between_small_and_large_follows_from_rate_and_interval() -> None:
    assert LIMITS.at_once_bytes == 45_000
    assert (LIMITS.days_for(45_000), LIMITS.days_for(45_001)) == (0, 7)
    assert (replace(LIMITS, days=0).days_for(10**12), replace(LIMITS, days=3).days_for(1)) == (0, 3)


@given(
    sizes=st.lists(st.integers(0, 9000), min_size=1, max_size=60),
    steps=st.lists(st.floats(60, 7200), min_size=1, max_size=30),
    days=st.integers(1, 10),
)
def test_a_round_reads_every_file_once_in_its_days(sizes: list[int], steps: list[float], days: int) -> None:
    limits = replace(LIMITS, days=days, bytes_per_s=10**6)
    paths = [f"{number:03}" for number in range(len(sizes))]
    state, now = NEW_ROUND, NOW
    read: list[str] = []
    started = NOW - limits.interval_s
    for number in range(100_000):
        content = plan_slice(limits, state, sum(sizes), now)
        for path, size in zip(paths, sizes, strict=True):
            if content.takes(path):
                content.note_read(path, size)
                read.append(path)
        state = content.end(now)
        if state.ended is not None:
            break
        now += steps[number % len(steps)]
    assert read == paths
    assert now - started <= days * DAY_S + 2 * max(steps)


def test_a_slice_is_as_large_as_the_time_asks_for_and_no_larger_than_one_full_sync_may_read() -> None:
    def budget(seconds: float, done: int, tree: int = 10_000_000) -> int:
        content, read = plan_slice(LIMITS, ScanRound(NOW - seconds, None, "a", done), tree, NOW), 0
        while content.takes(f"b{read:09}"):
            content.note_read(f"b{read:09}", 1)
            read += 1
        return read

    assert budget(0.7 * DAY_S, 990_000) == 10_000
    assert budget(0.7 * DAY_S, 1_000_000) == 0
    assert budget(6.9 * DAY_S, 0) == LIMITS.at_once_bytes
    # Clocks that were set back begin a new round.
    assert 0 <= budget(-DAY_S, 990_000) <= 10_000_000 * LIMITS.interval_s / (7 * DAY_S)


def test_a_whole_scan_goes_on_where_it_was_interrupted_but_not_after_a_day() -> None:
    interrupted = ScanRound(NOW - 3600, NOW - 7200, "pool/m", 5)
    content = plan_slice(LIMITS, interrupted, 10, NOW)
    assert [path for path in ("pool/a", "pool/m", "pool/m/x", "pool/n", "z") if content.takes(path)] == [
        "pool/m/x",
        "pool/n",
        "z",
    ]
    assert content.end(NOW) == replace(NEW_ROUND, ended=NOW)
    assert plan_slice(LIMITS, interrupted, 10, NOW + DAY_S).takes("a")
    assert whole_tree(NOW).takes("a")


def test_the_walk_is_in_the_order_of_positions(tmp_path: Path) -> None:
    for path in ("a/b/c", "a-b", "a/b-c", "a.b/c", "ab", "a/B"):
        put_file(tmp_path, path, b"x")
    paths = [path for items in walk(tmp_path, Directories()) for path, _ in items]
    assert paths == sorted(paths, key=order_of)
    assert len(paths) == 6


def test_bytes_that_changed_without_a_time_are_found_when_their_turn_comes(tmp_path: Path) -> None:
    files = [put_file(tmp_path, f"pool/{name}", name.encode() * 100) for name in "abcd"]
    settle(tmp_path)
    with remembering(files) as store:
        assert scan_store(tmp_path, store).read_bytes == 400
        # What a disk returns that forgot: the change time, too, is as it was.
        flip(tmp_path / "pool/c")
        settle(tmp_path)
        ctime_ns = (tmp_path / "pool/c").stat().st_ctime_ns
        was = store.scanned.look_up(["pool/c"])["pool/c"]
        store.scanned.note([(was, was._replace(ctime_ns=ctime_ns))])
        begun = Slice(NEW_ROUND, 150)
        first = scan_store(tmp_path, store, begun)
        assert (first.files, first.read_bytes, first.damaged) == (4, 200, [])
        assert (begun.round.position, begun.round.bytes) == ("pool/b", 200)
        second = Slice(ScanRound(NOW, None, "pool/b", 200), 150)
        found = scan_store(tmp_path, store, second)
        assert (found.files, damaged_paths(found)) == (3, ["pool/c"])
        assert second.round.position == "pool/d"
        # Its turn is over, and nobody has mended it yet.
        assert damaged_paths(scan_store(tmp_path, store, NOTHING)) == ["pool/c"]


def test_a_file_that_looks_as_before_is_reported_as_closed_by_each_scan(tmp_path: Path) -> None:
    files = [put_file(tmp_path, f"pool/{name}", b"x") for name in "abc"]
    (tmp_path / "pool/b").chmod(0o604)
    settle(tmp_path)
    with remembering(files) as store:
        for found in (scan_store(tmp_path, store), *(scan_store(tmp_path, store, NOTHING) for _ in range(2))):
            assert (found.files, found.bytes, found.closed) == (3, 3, ["pool/b"])


def test_a_ctime_that_a_write_need_not_change_is_not_believed(tmp_path: Path) -> None:
    file = put_file(tmp_path, "pool/a", b"x")
    with remembering([file]) as store:
        for _ in tries():
            (tmp_path / "pool/a").write_bytes(b"y")
            status = (tmp_path / "pool/a").stat()
            [was] = known_files(store)
            seen = was._replace(mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns)
            store.scanned.note([(was, seen)])
            found = scan_store(tmp_path, store, NOTHING)
            if is_same_tick(status.st_ctime_ns):
                break
        assert (found.files, found.read_bytes) == (1, 0)
        # A write within the same tick would leave the ctime as it is, so the next scan reads the file.
        assert damaged_paths(scan_store(tmp_path, store, NOTHING)) == ["pool/a"]


def test_changed_files_are_read_out_of_turn(tmp_path: Path) -> None:
    files = [put_file(tmp_path, f"pool/{name}", name.encode() * 100) for name in "abcdef"]
    settle(tmp_path)
    with remembering(files) as store:
        scan_store(tmp_path, store)
        assert scan_store(tmp_path, store, NOTHING).read_bytes == 0
        # Times that were set back show in the ctime; the same bytes under another inode are good.
        flip(tmp_path / "pool/a")
        (tmp_path / "pool/new").write_bytes(b"b" * 100)
        (tmp_path / "pool/new").rename(tmp_path / "pool/b")
        (tmp_path / "pool/c").write_bytes(b"short")
        (tmp_path / "pool/d").unlink()
        os.utime(tmp_path / "pool/e")
        settle(tmp_path)
        found = scan_store(tmp_path, store, NOTHING)
        assert sorted(damaged_paths(found)) == ["pool/a", "pool/c", "pool/d"]
        assert (found.files, found.read_bytes) == (3, 300)
        assert scan_store(tmp_path, store, NOTHING).read_bytes == 100, "only the damaged one is read again"


def test_a_file_with_a_time_that_the_database_can_not_hold_is_read_once_like_any_other(tmp_path: Path) -> None:
    file = put_file(tmp_path, "pool/a", b"x" * 100)
    with remembering([file]) as store:
        os.utime(tmp_path / "pool/a", (13_569_465_600, 13_569_465_600))
        settle(tmp_path)
        assert [scan_store(tmp_path, store, NOTHING).read_bytes for _ in range(2)] == [100, 0]


def test_a_file_that_was_written_to_a_moment_ago_is_read_again(tmp_path: Path) -> None:
    file = put_file(tmp_path, "pool/a", b"x" * 100)
    with remembering([file]) as store:
        for _ in tries():
            (tmp_path / "pool/a").write_bytes(b"x" * 100)
            scan_store(tmp_path, store)
            [known] = known_files(store)
            # Else the next tick may have come before the scan did.
            if is_same_tick((tmp_path / "pool/a").stat().st_ctime_ns):
                break
        assert known.ctime_ns == 1


def test_published_files_are_believed_until_their_turn_unless_changed(tmp_path: Path) -> None:
    files = [put_file(tmp_path, f"pool/{name}", b"x" * 100) for name in "ab"]
    now = time.time()
    with remembering(()) as store:
        store.live.adopt("repo", [(files[0], files[0].sha256)], now)
        store.live.adopt("repo", [(files[1], files[1].sha256)], now - 61)
        settle(tmp_path)
        flip(tmp_path / "pool/b")
        found = scan_store(tmp_path, store, NOTHING)
        assert (found.read_bytes, damaged_paths(found)) == (100, ["pool/b"])


def test_a_file_that_somebody_has_mapped_to_write_is_read_each_time(tmp_path: Path) -> None:
    file = put_file(tmp_path, "pool/a", b"x" * 100)
    with (
        remembering([file]) as store,
        (tmp_path / "pool/a").open("r+b") as opened,
        mmap.mmap(opened.fileno(), 0) as mapped,
    ):
        mapped[0:1] = b"x"
        settle(tmp_path)
        scan_store(tmp_path, store)
        # The page is writable already, so the kernel sees no write.
        mapped[0:1] = b"y"
        assert damaged_paths(scan_store(tmp_path, store, NOTHING)) == ["pool/a"]


def test_a_file_published_during_a_scan_is_neither_missing_nor_overwritten(tmp_path: Path) -> None:
    root = tmp_path / "www"
    old = put_file(root, "pool/a", b"old")
    settle(root)
    with remembering([old]) as store:

        def publish(files: int, size: int) -> None:
            """While the old file is read, put a new one in its place, and another before it."""
            if size and not (root / "new").exists():
                fresh = [put_file(root, path, b"fresh") for path in ("a/behind", "new")]
                (root / "new").rename(root / "pool/a")
                (root / "new").write_text("untracked")
                fresh[1] = replace(fresh[1], path="pool/a")
                store.live.adopt("repo", [(file, file.sha256) for file in fresh], 2.0)

        request = ScanRequest(root, store.scanned, whole_tree(NOW), publish)
        found = scan(request)
        assert found.damaged == []
        assert {known.file.path: known.file.size for known in known_files(store)} == {"a/behind": 5, "pool/a": 5}


def test_a_file_behind_a_link_is_missing(tmp_path: Path) -> None:
    root = tmp_path / "www"
    file = put_file(root, "pool/a", b"x")
    with remembering([file]) as store:
        (root / "pool").rename(tmp_path / "elsewhere")
        (root / "pool").symlink_to(tmp_path / "elsewhere")
        found = scan_store(root, store)
        assert (damaged_paths(found), found.untracked_special) == (["pool/a"], ["pool"])


@pytest.mark.parametrize("count", [499, 500, 501, 1001])
def test_portions_join_without_a_gap(tmp_path: Path, count: int) -> None:
    files = [put_file(tmp_path, f"pool/{number:05}", b"%d" % number) for number in range(count)]
    for file in files[::100]:
        (tmp_path / file.path).unlink()
    with remembering(files) as store:
        found = scan_store(tmp_path, store)
        assert damaged_paths(found) == [file.path for file in files[::100]]
        assert found.files == count - len(files[::100])
        assert store.scanned.total_bytes() == sum(file.size for file in files)


def test_an_interrupted_scan_has_noted_what_it_found(tmp_path: Path) -> None:
    files = [put_file(tmp_path, f"pool/{number:05}", b"x" * 10) for number in range(600)]
    settle(tmp_path)
    left = 550

    def stop(done: int, size: int) -> None:
        nonlocal left
        left -= done
        if left < 0:
            raise KeyboardInterrupt

    with remembering(files) as store:
        with pytest.raises(KeyboardInterrupt):
            scan_store(tmp_path, store, on_progress=stop)
        assert sum(1 for known in known_files(store) if known.ctime_ns > 1) == 500


def test_files_that_are_only_looked_at_are_told_together(tmp_path: Path) -> None:
    files = [put_file(tmp_path, f"pool/{number:05}", b"x" * 10) for number in range(600)]
    settle(tmp_path)
    told: list[tuple[int, int]] = []
    with remembering(files) as store:
        scan_store(tmp_path, store)
        (tmp_path / "pool/00300").write_bytes(b"y" * 10)
        settle(tmp_path)
        found = scan_store(
            tmp_path, store, Slice(NEW_ROUND, 0), on_progress=lambda done, size: told.append((done, size))
        )
    assert (found.files, damaged_paths(found)) == (599, ["pool/00300"])
    assert told == [(0, 10), (1, 0), (499, 0), (100, 0)]


def test_content_is_not_left_in_the_page_cache(tmp_path: Path) -> None:
    file = put_file(tmp_path, "pool/a", os.urandom(3_000_000))
    with (tmp_path / "pool/a").open("rb") as opened, remembering([file]) as store:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        before = find_uncached(opened.fileno(), file.size)
        if not before:
            pytest.skip("this filesystem drops no pages, as a tmpfs")
        assert scan_store(tmp_path, store).files == 1
        assert find_uncached(opened.fileno(), file.size) == before


def test_each_of_many_files_is_looked_at_once(tmp_path: Path) -> None:
    files = [put_file(tmp_path, f"pool/{number % 3}/{number:04}", b"x") for number in range(1203)]
    settle(tmp_path)
    with remembering(files[:-1]) as store:
        for found in (scan_store(tmp_path, store), scan_store(tmp_path, store, NOTHING)):
            assert (found.files, found.bytes, damaged_paths(found)) == (1202, 1202, [])
            assert [file.path for file in found.untracked] == [files[-1].path]
        (tmp_path / files[700].path).write_bytes(b"y")
        (tmp_path / files[0].path).unlink()
        found = scan_store(tmp_path, store, NOTHING)
        assert (found.files, sorted(damaged_paths(found))) == (1200, sorted([files[0].path, files[700].path]))
