"""disk: nothing outside the root is touched, whatever was planted; system errors are told plainly."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from packrat_core.errors import DiskError
from packrat_core.fs.atomic import replace, write_new
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.flush import flush_directories, flush_files
from packrat_core.fs.links import change_mode, ensure_directory, open_directory
from support.small_disk import small_disk


def test_a_planted_link_on_the_way_gives_way_and_its_target_is_untouched(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "pool").symlink_to(outside)
    made = ensure_directory(root, "pool/abc")
    assert made.is_dir()
    assert not (root / "pool").is_symlink()
    assert list(outside.iterdir()) == []


def test_a_file_on_the_way_gives_way(tmp_path: Path) -> None:
    (tmp_path / "pool").write_text("in the way")
    assert ensure_directory(tmp_path, "pool/abc").is_dir()


@pytest.mark.parametrize("relative", ["", ".", "a", "a/b", "./a//b/", "a/./b/."])
def test_a_directory_is_made_whatever_way_it_is_written(tmp_path: Path, relative: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a").symlink_to(tmp_path)
    made = ensure_directory(tmp_path / "x", relative)
    assert made == tmp_path / "x" / relative
    assert made.is_dir()
    with open_directory(tmp_path / "x", relative) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), made.stat())


def test_write_new_does_not_write_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("safe")
    (tmp_path / "new").symlink_to(victim)
    write_new(tmp_path / "new", [b"content"])
    assert victim.read_text() == "safe"
    assert (tmp_path / "new").read_bytes() == b"content"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o644


def test_replace_takes_the_place_of_a_link_and_of_a_directory(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("safe")
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "file").write_text("x")
    for name in ("link", "directory"):
        source = tmp_path / "source"
        source.write_text("new")
        replace(source, tmp_path / name)
        assert (tmp_path / name).read_text() == "new"
        assert not source.exists()
    assert victim.read_text() == "safe"


def test_replace_between_two_names_of_one_inode_leaves_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    os.link(tmp_path / "a", tmp_path / "b")
    replace(tmp_path / "b", tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_system_error_names_the_path_and_what_helps(number: int) -> None:
    with (
        pytest.raises(DiskError, match=r"can't write /some/file: .+; .+"),
        as_disk_error("write", "/some/file"),
    ):
        raise OSError(number, os.strerror(number))


def test_a_disk_without_inodes_is_told_from_one_without_room(tmp_path: Path) -> None:
    def told() -> str | None:
        with pytest.raises(DiskError) as refused, as_disk_error("write", disk / "directory/file"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return refused.value.hint

    with small_disk(tmp_path / "disk", "64k", inodes=5) as disk:
        assert "inodes" not in (told() or "")
        for number in range(4):
            (disk / str(number)).touch()
        assert "no inodes left" in (told() or "")


def test_flushing_many_files_at_once_and_few_one_by_one(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(100)]
    for file in files:
        file.write_text("x")
    flush_files(files)
    flush_files(files[:2])
    flush_directories([tmp_path, tmp_path])
    with pytest.raises(DiskError):
        flush_files([tmp_path / "missing"])


def test_a_mode_is_changed_of_what_stands_there_and_never_through_a_link(tmp_path: Path) -> None:
    outside, own, closed = tmp_path / "outside", tmp_path / "own", tmp_path / "closed"
    for path in (outside, own):
        path.write_text("")
        path.chmod(0o600)
    closed.mkdir(mode=0)
    link = tmp_path / "link"
    link.symlink_to(outside)
    change_mode(own, lambda mode: 0o644 if stat.S_ISREG(mode) else None)
    change_mode(closed, lambda mode: 0o755 if stat.S_ISDIR(mode) else None)
    change_mode(link, lambda mode: None if stat.S_ISLNK(mode) else 0o666)
    with suppress(OSError):
        change_mode(link, lambda mode: 0o666)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (outside, own, closed)] == [0o600, 0o644, 0o755]


@pytest.mark.parametrize(("number", "hint"), [(errno.EMFILE, "LimitNOFILE="), (errno.ENFILE, "fs.file-max")])
def test_too_many_open_files_names_the_limit_to_raise(number: int, hint: str) -> None:
    with pytest.raises(DiskError) as told, as_disk_error("read", "/srv/repo"):
        raise OSError(number, os.strerror(number))
    assert hint in told.value.hint
