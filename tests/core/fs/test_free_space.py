"""Downloads leave some room on a filesystem, on a small one less."""

import errno
from pathlib import Path

import pytest

from packrat_core.fs.free_space import is_full, keep_room
from support.small_disk import small_disk


@pytest.mark.parametrize(("size", "filled", "is_kept"), [("8m", 6, True), ("8m", 7.5, False), ("200m", 180, True)])
def test_the_last_room_is_kept(tmp_path: Path, size: str, filled: float, is_kept: bool) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        (disk / "file").write_bytes(bytes(int(filled * (1 << 20))))
        if is_kept:
            keep_room(disk)
            return
        with pytest.raises(OSError, match="No space left") as refused:
            keep_room(disk)
        assert refused.value.errno == errno.ENOSPC


@pytest.mark.parametrize(("size", "is_told"), [("0", False), ("64k", False), ("32k", True)])
def test_a_filesystem_without_a_limit_is_not_taken_for_a_full_one(tmp_path: Path, size: str, is_told: bool) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        assert is_full(disk) is is_told
        if not is_told:
            keep_room(disk)
