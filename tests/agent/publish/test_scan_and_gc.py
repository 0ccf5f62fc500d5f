"""scan and collect_garbage: what is damaged or foreign is found and removed; nothing outside the root is touched."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from packrat_agent.model.entries import StoredFile
from packrat_agent.model.paths import is_kept, kept_paths
from packrat_agent.publish.gc import collect_garbage, open_up, remove_directories, remove_empty_directories, unlock
from packrat_agent.publish.scan import scan
from packrat_agent.publish.scan_slices import whole_tree
from packrat_agent.publish.scan_values import ScanRequest
from packrat_core.errors import DiskError
from support.remembered import damaged_paths, put_file, remembering, scan_all

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def test_each_fault_is_reported_as_what_it_is(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    outside = put_file(tmp_path, "outside/secret", b"secret")
    good = put_file(root, "repo/good", b"good")
    flipped = put_file(root, "repo/flipped", b"right")
    (root / "repo/flipped").write_bytes(b"wrong")
    short = put_file(root, "repo/short", b"whole")
    (root / "repo/short").write_bytes(b"who")
    missing = StoredFile("repo/missing", "0" * 64, 1, 1, 1)
    linked = put_file(root, "repo/linked", b"content")
    (root / "repo/linked").unlink()
    (root / "repo/linked").symlink_to(tmp_path / outside.path)
    directory = StoredFile("repo/directory", "0" * 64, 1, 1, 1)
    put_file(root, "repo/directory/inside", b"x")
    (root / "evil").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "pipe")
    (root / "void/deep").mkdir(parents=True)
    put_file(root, ".packrat-agent/staging/x", b"own")
    remembered = (good, flipped, short, missing, linked, directory)

    found = scan_all(root, remembered)

    assert (found.files, found.bytes) == (1, good.size)
    assert damaged_paths(found) == ["repo/directory", "repo/flipped", "repo/linked", "repo/missing", "repo/short"]
    assert [file.path for file in found.untracked] == ["repo/directory/inside"]
    assert found.untracked[0].sha256 == hashlib.sha256(b"x").hexdigest()
    assert sorted(found.untracked_special) == ["evil", "pipe"]
    assert found.directories.empty == ["void/deep", "void"]


def test_a_file_without_an_end_is_not_read_to_it(tmp_path: Path) -> None:
    """A sparse file of 15 TiB takes no room on the disk and hours to read; one that grows may take for ever."""
    known = put_file(tmp_path, "repo/known", b"x" * 3_000_000)
    (tmp_path / "repo/untracked").write_bytes(b"y" * 3_000_000)
    with (tmp_path / "repo/sparse").open("wb") as file:
        file.truncate(15 << 40)
    told = 0

    def grow(_: int, size: int) -> None:
        nonlocal told
        told += size
        assert told < 50_000_000
        if size:
            for name in ("known", "untracked"):
                path = tmp_path / "repo" / name
                os.truncate(path, path.stat().st_size + 10_000_000)

    with remembering([known]) as store:
        found = scan(ScanRequest(tmp_path, store.scanned, whole_tree(time.time()), grow, largest=20_000_000_000))
    assert damaged_paths(found) == ["repo/known"]
    assert [(file.path, file.sha256) for file in found.untracked] == [("repo/sparse", ""), ("repo/untracked", "")]
    assert not found.unreadable


def test_files_that_not_everybody_may_read_are_reported(tmp_path: Path) -> None:
    modes = {
        "open/file": 0o644,
        "open/closed": 0o640,
        "open/writable": 0o666,
        "private/file": 0o644,
        "listed/file": 0o444,
    }
    remembered = [put_file(tmp_path, path, b"x") for path in modes]
    for path, mode in {**modes, "open": 0o755, "private": 0o751, "listed": 0o754}.items():
        (tmp_path / path).chmod(mode)
    found = scan_all(tmp_path, remembered)
    assert found.files == len(modes)
    assert sorted(found.closed) == ["listed", "open/closed", "private"]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Have only the rights of a user who owns nothing."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may reach, which those of pytest are not."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@only_root
def test_unreadable_files_are_told_apart_from_damaged_ones(public: Path) -> None:
    files = [put_file(public, path, b"x") for path in ("repo/good", "repo/closed", "repo/locked/file")]
    (public / "repo/closed").chmod(0o600)
    (public / "repo/locked").chmod(0o700)
    asked: list[str] = []

    def unlock_as_root(path: str) -> None:
        os.seteuid(0)
        (public / path).chmod(0o755)
        os.seteuid(65534)

    with as_nobody():
        for unlock_it in (None, asked.append):
            found = scan_all(public, files, unlock=unlock_it)
            assert found.files == 1
            assert found.directories.locked == ["repo/locked"]
            assert damaged_paths(found) == sorted(found.unreadable) == ["repo/closed", "repo/locked/file"]
        found = scan_all(public, files, unlock=unlock_as_root)
    assert asked == ["repo/locked"]
    assert found.files == 2
    assert found.directories.locked == []
    assert damaged_paths(found) == sorted(found.unreadable) == ["repo/closed"]


@only_root
def test_files_that_this_user_may_not_remove_are_left_and_reported(public: Path) -> None:
    (public / "repo").mkdir()
    (public / "ours").mkdir()
    os.chown(public / "ours", 65534, -1)
    for path in ("repo/theirs", "ours/file"):
        put_file(public, path, b"x")
    denied: list[str] = []
    with as_nobody():
        with pytest.raises(DiskError, match="repo/theirs"):
            collect_garbage(public, ["repo/theirs"], ())
        assert collect_garbage(public, ["repo/theirs", "ours/file"], (), denied.append) == ["ours/file"]
    assert denied == ["repo/theirs"]
    assert (public / "repo/theirs").exists()
    assert not (public / "ours/file").exists()


def test_files_and_directories_are_opened_to_everybody_and_nothing_else_is(tmp_path: Path) -> None:
    put_file(tmp_path, "repo/file", b"x")
    os.mkfifo(tmp_path / "repo/pipe")
    modes = {"repo/file": 0o644, "repo/pipe": 0o600, "repo": 0o755}
    for path in ("repo/file", "repo/pipe"):
        (tmp_path / path).chmod(0o600)
    (tmp_path / "repo").chmod(0o700)
    open_up(tmp_path, ["repo", "repo/file", "repo/pipe", "repo/gone"])
    assert {path: (tmp_path / path).stat().st_mode & 0o7777 for path in modes} == modes


def test_progress_adds_up_to_all_files_and_bytes(tmp_path: Path) -> None:
    sizes = [0, 1, 4 * 1024 * 1024, 9 * 1024 * 1024]
    right, damaged, *_ = [put_file(tmp_path, f"repo/deep/{size}", bytes(size)) for size in reversed(sizes)]
    told: list[tuple[int, int]] = []
    found = scan_all(
        tmp_path, (right, replace(damaged, sha256="0" * 64)), lambda files, size: told.append((files, size))
    )
    assert (found.files, len(found.damaged), len(found.untracked)) == (1, 1, 2)
    # A directory that holds nothing but another one is not empty.
    assert found.directories.empty == []
    assert (sum(files for files, _ in told), sum(size for _, size in told)) == (len(sizes), sum(sizes))
    assert all(files == 0 or size == 0 for files, size in told)
    assert min(min(pair) for pair in told) == 0


def test_a_directory_is_unlocked_for_its_owner_and_a_file_left_alone(tmp_path: Path) -> None:
    put_file(tmp_path, "locked/file", b"x")
    (tmp_path / "locked/file").chmod(0o040)
    unlock(tmp_path, "locked/file")
    assert (tmp_path / "locked/file").stat().st_mode & 0o7777 == 0o040
    (tmp_path / "locked").chmod(0o050)
    unlock(tmp_path, "locked")
    assert (tmp_path / "locked").stat().st_mode & 0o7777 == 0o750


def test_garbage_collection_removes_files_links_and_the_directories_left_empty(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put_file(root, "a/b/one", b"1")
    put_file(root, "a/two", b"2")
    victim = tmp_path / "victim"
    victim.write_text("safe")
    (root / "link").symlink_to(victim)
    assert collect_garbage(root, ["a/b/one", "link", "gone/long/ago"], ()) == ["a/b/one", "link", "gone/long/ago"]
    assert not (root / "a/b").exists()
    assert (root / "a/two").exists()
    assert victim.read_text() == "safe"


def test_garbage_collection_never_goes_through_a_linked_directory(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    put_file(outside, "file", b"safe")
    root.mkdir()
    (root / "pool").symlink_to(outside)
    collect_garbage(root, ["pool/file"], ())
    remove_empty_directories(root, ["pool/empty"], ())
    assert (outside / "file").read_bytes() == b"safe"
    assert (root / "pool").is_symlink()


def test_garbage_collection_finds_its_way_from_each_directory_to_the_next(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    gone = ["top", "a/1", "a/b/c/2", "a/b/3", "a/4", "ab/b/5", "link/b/6", "a/b/c/7", "a/file/8", "none/b/9", "a/b/10"]
    left = ["left", "a/left", "a/b/left", "ab/left", "b/c/2", "b/3", "c/2", "c/7", "file"]
    for path in [*gone, *left]:
        if not path.startswith(("link/", "none/", "a/file/")):
            put_file(root, path, b"x")
    put_file(root, "a/file", b"x")
    put_file(outside, "b/6", b"safe")
    (root / "link").symlink_to(outside)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert collect_garbage(root, gone, ()) == gone
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    there = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert there == {*left, "a/file"}
    assert (outside / "b/6").read_bytes() == b"safe"
    assert not (root / "a/b/c").exists()
    assert not (root / "ab/b").exists()


def test_a_link_that_comes_during_garbage_collection_leads_nowhere(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    paths = [f"pool/{name}/file" for name in "abc"]
    for path in paths:
        put_file(root, path, b"x")
        put_file(outside, path.removeprefix("pool/"), b"safe")

    def swap() -> Iterator[str]:
        yield paths[0]
        (root / "pool").rename(root / "aside")
        (root / "pool").symlink_to(outside)
        yield from paths[1:]

    collect_garbage(root, swap(), ())
    assert sorted(path.name for path in outside.rglob("file")) == ["file"] * 3
    assert (root / "pool").is_symlink()


@pytest.mark.parametrize("moved", ["pool", "pool/deep"])
@pytest.mark.parametrize("to", ["outside", "root/pool.saved"])
def test_garbage_collection_does_not_go_along_with_a_directory_that_is_moved_away(
    tmp_path: Path, moved: str, to: str
) -> None:
    root = tmp_path / "root"
    paths = [f"pool/deep/{name}" for name in "abc"]
    for path in paths:
        put_file(root, path, b"x")

    def move() -> Iterator[str]:
        yield paths[0]
        (root / moved).rename(tmp_path / to)
        put_file(root, paths[1], b"made again")
        yield from paths[1:]

    collect_garbage(root, move(), ())
    assert sorted(path.name for path in (tmp_path / to).rglob("?")) == ["b", "c"]
    assert not (root / "pool").exists()


def test_garbage_collection_leaves_keep_files_and_the_agents_own(tmp_path: Path) -> None:
    put_file(tmp_path, "repo-key", b"key")
    put_file(tmp_path, "kept/below/file", b"x")
    put_file(tmp_path, ".packrat-agent/mark", b"{}")
    kept = kept_paths(tmp_path, [tmp_path / "repo-key", tmp_path / "kept", Path("/elsewhere/file")])
    assert kept == {"repo-key", "kept"}
    assert is_kept("kept/below/file", kept)
    assert not is_kept("kept-not", kept)
    assert collect_garbage(tmp_path, ["repo-key", "kept/below/file", ".packrat-agent/mark"], kept) == []
    assert (tmp_path / "kept/below/file").exists()
    assert (tmp_path / ".packrat-agent/mark").exists()


def test_a_scan_does_not_enter_the_root_dir_of_another_mirror(tmp_path: Path) -> None:
    put_file(tmp_path, "inner/.packrat-agent/mark", b"{}")
    put_file(tmp_path, "inner/repo/theirs", b"somebody else's")
    (tmp_path / "inner/.packrat-agent").chmod(0o700)
    (tmp_path / "inner/empty").mkdir()
    remembered = put_file(tmp_path, "inner/repo/ours", b"remembered")
    found = scan_all(tmp_path, (remembered,))
    assert found.directories.nested == ["inner"]
    assert (found.untracked, found.directories.closed, found.directories.empty) == ([], [], [])
    (tmp_path / "inner/repo/ours").write_bytes(b"changed")
    assert damaged_paths(scan_all(tmp_path, (remembered,))) == ["inner/repo/ours"]


@only_root
def test_a_root_dir_that_this_user_may_not_list_is_reported_and_not_unlocked(public: Path) -> None:
    put_file(public, "inner/.packrat-agent/mark", b"{}")
    for path in ("inner/.packrat-agent/mark", "inner/.packrat-agent", "inner"):
        os.chown(public / path, 65534, 65534)
    (public / "inner").chmod(0o300)
    with as_nobody():
        found = scan_all(public, (), unlock=pytest.fail)
    assert (found.directories.nested, found.directories.locked) == (["inner"], [])


@only_root
@pytest.mark.parametrize("theirs", ["inner/.packrat-agent", "inner/.packrat-agent/mark"])
def test_a_mark_that_another_user_made_protects_nothing(tmp_path: Path, theirs: str) -> None:
    put_file(tmp_path, "inner/.packrat-agent/mark", b"{}")
    os.chown(tmp_path / theirs, 12345, 12345)
    found = scan_all(tmp_path, ())
    assert found.directories.nested == []
    assert [file.path for file in found.untracked] == ["inner/.packrat-agent/mark"]


def test_a_directory_goes_with_all_that_it_holds_unless_that_is_kept(tmp_path: Path) -> None:
    deep = "/".join("d" * 101)
    for name in ("a", "b", "c"):
        (tmp_path / name / deep / "more").mkdir(parents=True)
        (tmp_path / name / deep / "more/file").touch()
    (tmp_path / "e").symlink_to(tmp_path / "b")
    kept = kept_paths(tmp_path, [tmp_path / "b" / deep / "more/file", tmp_path / "c"])
    gone = remove_directories(tmp_path, [f"{name}/{deep}" for name in "abce"], kept, pytest.fail)
    assert gone == [f"a/{deep}"]
    assert [(tmp_path / name / deep).exists() for name in "abc"] == [False, True, True]
