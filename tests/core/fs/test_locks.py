"""A lock is told apart from one of a file with the same inode number on another filesystem."""

from pathlib import Path

from packrat_core.fs.locks import FileLock, is_locked
from support.small_disk import small_disk


def test_a_lock_on_another_filesystem_is_not_taken_for_one_of_this_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "one", "1m") as one, small_disk(tmp_path / "two", "1m") as two:
        held, free = one / "lock", two / "lock"
        free.touch()
        with FileLock(held) as lock:
            assert held.stat().st_ino == free.stat().st_ino
            assert not is_locked(held)
            assert lock.try_exclusive()
            assert is_locked(held)
            assert not is_locked(free)
