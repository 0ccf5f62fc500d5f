"""Directories are made and entered as `ensure_directory` makes them, or only found; no link is followed on the way."""

import errno
import os
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.publish.directories import OpenDirectories
from packrat_core.errors import DiskError
from packrat_core.fs.links import ensure_directory
from support.audited import audited
from support.descriptors import open_below
from support.small_disk import small_disk

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, max_size=4).map("/".join)
PLANTED = st.sampled_from(["file", "link", "dangling", "directory"])


def plant(top: Path, path: str, what: str, outside: Path) -> None:
    at = top / path
    if at == top or any(above.is_symlink() or above.is_file() for above in (at, *at.parents)) or at.exists():
        return
    at.parent.mkdir(parents=True, exist_ok=True)
    if what == "file":
        at.write_text("in the way")
    elif what == "directory":
        at.mkdir()
    else:
        at.symlink_to(outside if what == "link" else outside / "none")


def look(top: Path) -> dict[str, str]:
    found = {}
    for directory, directories, files in os.walk(top):
        for name in (*directories, *files):
            path = Path(directory, name)
            kind = "link" if path.is_symlink() else "directory" if path.is_dir() else "file"
            found[str(path.relative_to(top))] = kind
    return found


def modes(top: Path) -> dict[str, int]:
    return {path: (top / path).lstat().st_mode for path in look(top)}


@given(st.dictionaries(PATHS, PLANTED, max_size=4), st.lists(PATHS, min_size=1, max_size=8))
def test_they_are_made_as_one_by_one(planted: dict[str, str], entered: list[str]) -> None:
    with TemporaryDirectory() as scratch:
        one, many, outside = (Path(scratch, name) for name in ("one", "many", "outside"))
        for directory in (one, many, outside):
            directory.mkdir()
        for top in (one, many):
            for path, what in planted.items():
                plant(top, path, what, outside)
        with OpenDirectories(many) as way:
            for path in entered:
                was_there = (one / path).is_dir() and (one / path).resolve() == one / path
                directory = ensure_directory(one, path or ".")
                assert os.fstat(way.enter(path)).st_ino == (many / path).lstat().st_ino
                assert directory.is_dir()
                # It stays new for as long as it is not left.
                assert way.is_new or was_there
        assert open_below(Path(scratch)) == []
        assert look(one) == look(many)
        assert modes(one) == modes(many)
        assert not list(outside.iterdir())


def test_a_directory_that_was_there_is_not_new(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with OpenDirectories(tmp_path) as way:
        assert not way.is_new
        way.enter("old/new")
        assert way.is_new
        way.enter("old")
        assert not way.is_new
        way.enter("old/new")
        assert not way.is_new


def test_from_one_to_the_next_only_the_last_name_is_opened(tmp_path: Path) -> None:
    with OpenDirectories(tmp_path) as way:
        way.enter("a/b/first")
        with audited("open") as opened:
            way.enter("a/b/second")
            way.find(["a", "b", "first"])
            way.enter("a/b/first")
            assert [path for path, *_ in opened] == ["second", "first"]
            way.find(["a", "b"])
            assert len(opened) == 2


def test_a_link_that_takes_the_place_of_a_directory_meanwhile_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "simple/one").mkdir(parents=True)
    outside.mkdir()
    with OpenDirectories(root) as way:
        way.enter("simple/one")
        (root / "simple").rename(root / "moved")
        (root / "simple").symlink_to(outside)
        way.enter("simple/two")
    assert not list(outside.iterdir())


def test_a_directory_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=f"{tmp_path}/none"):
        OpenDirectories(tmp_path / "none")
    with OpenDirectories(tmp_path) as way, pytest.raises(DiskError, match="x" * 256):
        way.enter("a/" + "x" * 256)


@pytest.mark.parametrize("what", ["file", "link", "directory"])
def test_a_link_planted_in_a_new_directory_leads_nowhere(tmp_path: Path, what: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    with OpenDirectories(root) as way:
        way.enter("new")
        plant(root, "new/below", what, outside)
        descriptor = way.enter("new/below")
        assert os.fstat(descriptor).st_ino == (root / "new/below").lstat().st_ino != outside.stat().st_ino
        assert way.is_new is (what != "directory")


def test_a_directory_that_was_moved_away_is_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "root/simple/one").mkdir(parents=True)
    with OpenDirectories(tmp_path / "root") as way:
        way.enter("simple/one")
        (tmp_path / "root/simple").rename(tmp_path / "moved")
        made = way.enter("simple/one")
        assert os.fstat(made).st_ino == (tmp_path / "root/simple/one").stat().st_ino
        assert way.is_new
        (tmp_path / "root/simple").rename(tmp_path / "moved again")
        (tmp_path / "root/simple/one").mkdir(parents=True)
        assert os.fstat(way.enter("simple/one")).st_ino == (tmp_path / "root/simple/one").stat().st_ino
        (tmp_path / "root/simple/one").rename(tmp_path / "last")
        with pytest.raises(FileNotFoundError):
            way.find(["simple", "one"])
    assert look(tmp_path / "moved") == look(tmp_path / "moved again") == {"one": "directory"}


def test_looking_for_a_directory_neither_makes_nor_replaces_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "there/below").mkdir(parents=True)
    (outside / "below").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    (root / "file").touch()
    before = look(root)
    with OpenDirectories(root) as way:
        for parts in (["none"], ["link"], ["link", "below"], ["file"], ["there", "none"]):
            with pytest.raises(OSError, match=parts[-1] if parts[0] != "link" else "link"):
                way.find(parts)
        assert os.fstat(way.find(["there", "below"])).st_ino == (root / "there/below").stat().st_ino
        assert not way.is_new
        assert os.fstat(way.find([])).st_ino == root.stat().st_ino
    assert look(root) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_another_filesystem_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "a/disk").mkdir(parents=True)
    with small_disk(tmp_path / "a/disk", "1m"), OpenDirectories(tmp_path) as way:
        (tmp_path / "a/disk/below").mkdir()
        with pytest.raises(DiskError, match="another filesystem"):
            way.enter("a/disk/below")
        with pytest.raises(OSError, match="another filesystem"):
            way.find(["a", "disk"])
        assert os.fstat(way.enter("a")).st_ino == (tmp_path / "a").stat().st_ino
    assert open_below(tmp_path) == []


def test_a_default_acl_closes_no_directory_to_clients(tmp_path: Path) -> None:
    # Owner, group and others (1, 4, 0x20): only the owner may do anything.
    entries = b"".join(struct.pack("<HHI", tag, bits, 0xFFFFFFFF) for tag, bits in ((1, 7), (4, 0), (0x20, 0)))
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", struct.pack("<I", 2) + entries)
    except OSError as error:
        pytest.skip(f"this filesystem has no ACLs: {error}")
    with OpenDirectories(tmp_path) as directories:
        directories.enter("apt-dev/pool")
    for made in ("apt-dev", "apt-dev/pool"):
        assert (tmp_path / made).stat().st_mode & 0o777 == 0o755


def test_a_directory_that_may_not_be_opened_up_is_closed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchmod", refuse)
    monkeypatch.setattr("packrat_agent.publish.directories._OPEN_MODE", 0o2755)
    with OpenDirectories(tmp_path) as way, pytest.raises(DiskError, match="apt-dev"):
        way.enter("apt-dev")
    assert open_below(tmp_path) == []
