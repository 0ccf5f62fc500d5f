"""What is mounted below root_dir is left alone: no scan enters it, nothing in it is removed or changed."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.publish.claim import refuse_unmanaged
from packrat_agent.publish.gc import collect_garbage, open_up, remove_directories, remove_empty_directories, unlock
from packrat_core.errors import DiskError, NotOurs
from packrat_core.fs.atomic import replace
from support.audited import audited
from support.remembered import damaged_paths, put_file, scan_all

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a filesystem")


@pytest.fixture(params=["another filesystem", "a directory of the same one"])
def mounted(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A root with something mounted at repo/disk; its name needs an escape in the system's list, or looks so."""
    root = tmp_path / "root\r dir\\"
    (root / "repo/disk").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    is_bound = request.param == "a directory of the same one"
    what = ["--bind", tmp_path / "elsewhere"] if is_bound else ["-t", "tmpfs", "-o", "size=1m", "test"]
    subprocess.run(["mount", *what, root / "repo/disk"], check=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", root / "repo/disk"], check=True)


def test_the_mounts_are_read_once_for_all_files_that_are_opened_up(tmp_path: Path) -> None:
    paths = [f"repo/{number}" for number in range(9)]
    for path in paths:
        put_file(tmp_path, path, b"x")
        (tmp_path / path).chmod(0o600)
    with audited("open") as opened:
        assert open_up(tmp_path, paths) == []
    assert {(tmp_path / path).stat().st_mode & 0o777 for path in paths} == {0o644}
    assert [str(path) for path, *_ in opened].count("/proc/self/mountinfo") == 1


@only_root
def test_a_scan_enters_no_other_filesystem(mounted: Path) -> None:
    good = put_file(mounted, "repo/good", b"good")
    untracked = put_file(mounted, "repo/disk/untracked", b"somebody else's")
    remembered = put_file(mounted, "repo/disk/deep/remembered", b"was here before the mount")
    (mounted / "repo/disk/empty").mkdir()
    found = scan_all(mounted, (good, remembered))
    assert found.directories.mounts == ["repo/disk"]
    assert found.files == 1
    assert untracked.path not in {file.path for file in found.untracked}
    assert damaged_paths(found) == ["repo/disk/deep/remembered"]
    assert found.directories.empty == []


@only_root
@pytest.mark.parametrize("mounted", ["another filesystem"], indirect=True)
def test_another_filesystem_in_a_root_dir_may_be_the_root_dir_of_another_mirror(mounted: Path) -> None:
    put_file(mounted, ".packrat-agent/mark", b"{}")
    refuse_unmanaged(mounted / "repo/disk", mounted.with_name("state.db"), ())
    with pytest.raises(NotOurs):
        refuse_unmanaged(mounted / "repo/beside", mounted.with_name("state.db"), ())


@only_root
def test_garbage_collection_removes_nothing_on_another_filesystem(mounted: Path) -> None:
    put_file(mounted, "repo/ours", b"ours")
    put_file(mounted, "repo/disk/deep/theirs", b"theirs")
    (mounted / "repo/disk/empty").mkdir()
    collect_garbage(mounted, ["repo/ours", "repo/disk/deep/theirs"], ())
    remove_empty_directories(mounted, ["repo/disk/empty", "repo/disk"], ())
    assert not (mounted / "repo/ours").exists()
    assert (mounted / "repo/disk/deep/theirs").read_bytes() == b"theirs"
    assert (mounted / "repo/disk/empty").is_dir()


@only_root
def test_a_file_that_another_one_is_mounted_over_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    root = tmp_path / "root"
    ours = put_file(root, "repo/ours", b"ours")
    subprocess.run(["mount", "--bind", theirs, root / "repo/ours"], check=True)
    try:
        found = scan_all(root, (ours,))
        assert (found.directories.mounts, found.untracked, damaged_paths(found)) == (["repo/ours"], [], ["repo/ours"])
        collect_garbage(root, ["repo/ours"], ())
        open_up(root, ["repo/ours"])
        assert (root / "repo/ours").read_text() == "theirs"
    finally:
        subprocess.run(["umount", root / "repo/ours"], check=True)


@only_root
def test_a_mounted_filesystem_that_is_away_stops_no_scan(tmp_path: Path) -> None:
    good = put_file(tmp_path, "repo/good", b"good")
    away = tmp_path / "repo/away"
    away.mkdir()
    with Path("/dev/fuse").open("r+b", buffering=0) as fuse:
        options = f"fd={fuse.fileno()},rootmode=40000,user_id=0,group_id=0"
        command = ["mount", "-i", "-t", "fuse", "-o", options, "test", str(away)]
        subprocess.run(command, pass_fds=[fuse.fileno()], check=True)
    try:
        with pytest.raises(OSError, match="not connected"):
            away.lstat()
        found = scan_all(tmp_path, (good,))
        assert (found.directories.mounts, found.files, damaged_paths(found)) == (["repo/away"], 1, [])
    finally:
        subprocess.run(["umount", away], check=True)


@only_root
def test_no_mode_is_changed_on_another_filesystem(mounted: Path) -> None:
    put_file(mounted, "repo/disk/deep/theirs", b"theirs")
    (mounted / "repo/disk/deep/theirs").chmod(0o600)
    (mounted / "repo/disk/deep").chmod(0o000)
    open_up(mounted, ["repo/disk/deep", "repo/disk/deep/theirs"])
    unlock(mounted, "repo/disk/deep")
    assert (mounted / "repo/disk/deep").stat().st_mode & 0o777 == 0o000
    assert (mounted / "repo/disk/deep/theirs").stat().st_mode & 0o777 == 0o600


@only_root
@pytest.mark.parametrize("named", ["repo", "repo/disk"])
def test_a_file_that_is_published_in_the_place_of_a_directory_takes_nothing_of_what_is_mounted_there(
    mounted: Path, named: str
) -> None:
    put_file(mounted, "repo/disk/deep/theirs", b"theirs")
    new = mounted / "new"
    new.write_bytes(b"ours")
    with pytest.raises(DiskError, match=r"can't (publish|remove)") as refused:
        replace(new, mounted / named)
    assert (mounted / "repo/disk/deep/theirs").read_bytes() == b"theirs"
    assert "something is mounted there" in refused.value.message or named == "repo"


@only_root
def test_a_directory_that_lies_too_deep_is_removed_without_what_is_mounted_in_it(mounted: Path) -> None:
    put_file(mounted, "repo/disk/deep/theirs", b"theirs")
    put_file(mounted, "repo/garbage", b"nobody's")
    put_file(mounted, "other/deep/garbage", b"nobody's")
    assert remove_directories(mounted, ["repo", "other"], (), lambda path: None) == ["other"]
    assert (mounted / "repo/disk/deep/theirs").read_bytes() == b"theirs"
    assert not (mounted / "other").exists()
