"""Lock files: which lock is held, and what is done to the file."""

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


def test_only_a_file_without_a_second_name_is_closed_to_others(tmp_path: Path) -> None:
    """Somebody who may write to the directory may have put another file of this user there."""
    precious, lock = tmp_path / "precious", tmp_path / "lock"
    precious.touch(0o644)
    lock.hardlink_to(precious)
    FileLock(lock).release()
    assert precious.stat().st_mode & 0o777 == 0o644
    precious.unlink()
    FileLock(lock).release()
    assert lock.stat().st_mode & 0o777 == 0o600
