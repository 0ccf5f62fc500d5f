"""What is written ahead is what is published, and nothing that others put in its place is."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.model.records import Repo
from packrat_agent.model.tree import (
    Content,
    LateFiles,
    Publication,
    ReadyPublication,
    TreeFile,
    TreeLink,
    UnsignedTree,
)
from packrat_agent.publish import write_ahead
from packrat_agent.publish.pointers import discard_pointers
from packrat_agent.publish.write_ahead import WrittenAhead, find_large, writing_ahead
from packrat_agent.publish.writer import intend, publish
from packrat_core.errors import DiskError
from support.small_disk import small_disk

REPO = Repo("r", "R", "repo", "apt", ())
LARGE = bytes(range(256)) * 2048


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / ".packrat-agent" / "staging").mkdir(parents=True)
    return tmp_path / "root"


def staging_of(root: Path) -> Path:
    return root / ".packrat-agent" / "staging"


def by_hash(data: bytes) -> TreeFile:
    return TreeFile(f"by-hash/{hashlib.sha256(data).hexdigest()}", Content.of(data))


def go(root: Path, files: list[TreeFile], ahead: WrittenAhead | None) -> list[Path]:
    pointers = tuple(TreeFile(f"index{number}", file.content) for number, file in enumerate(files))
    tree = UnsignedTree(REPO, (ReadyPublication("s", "id", tuple(files), pointers, {}),), ("s",))
    publish(tree, (), intend(tree, (), (), {}), root, staging_of(root), ahead)
    discard_pointers(root, REPO)
    return [root / "repo" / file.path for file in files]


def wait_for(ahead: WrittenAhead) -> None:
    for begun in ahead._begun.values():
        begun.result()


def overwrite(path: Path) -> None:
    times = path.stat()
    # The kernel's clock must have gone on, or its ctime stays.
    time.sleep(0.02)
    with path.open("r+b") as file:
        file.write(b"others")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(path: Path) -> None:
    times, size = path.stat(), path.stat().st_size
    path.unlink()
    path.write_bytes(b"o" * size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def link_elsewhere(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def add_name(path: Path) -> None:
    time.sleep(0.02)
    os.link(path, path.with_name("other-name"))


CHANGES: list[Callable[[Path], None]] = [overwrite, replace, link_elsewhere, make_directory, add_name, Path.unlink]


def test_files_written_ahead_are_renamed_into_place(root: Path) -> None:
    with writing_ahead(staging_of(root)) as ahead:
        ahead.begin([Content.of(LARGE)])
        wait_for(ahead)
        [staged] = staging_of(root).iterdir()
        inode = staged.stat().st_ino
        [placed] = go(root, [by_hash(LARGE)], ahead)
    assert placed.stat().st_ino == inode == (root / "repo/index0").stat().st_ino
    assert placed.read_bytes() == LARGE
    assert placed.stat().st_mode & 0o777 == 0o644
    assert list(staging_of(root).iterdir()) == []


def test_a_file_written_ahead_is_flushed_before_it_is_taken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: set[int] = set()
    fsync = os.fsync

    def note(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with writing_ahead(staging_of(root)) as ahead:
        ahead.begin([Content.of(LARGE)])
        taken = ahead.take(Content.of(LARGE))
        assert taken is not None
        assert taken.stat().st_ino in flushed


@pytest.mark.parametrize("change", CHANGES)
def test_files_that_others_changed_meanwhile_are_written_again(root: Path, change: Callable[[Path], None]) -> None:
    with writing_ahead(staging_of(root)) as ahead:
        ahead.begin([Content.of(LARGE)])
        wait_for(ahead)
        [staged] = staging_of(root).iterdir()
        change(staged)
        assert ahead.take(Content.of(LARGE)) is None
        [placed] = go(root, [by_hash(LARGE)], ahead)
    assert placed.is_file()
    assert not placed.is_symlink()
    assert placed.read_bytes() == LARGE


def test_files_that_others_changed_take_no_room_from_those_written_again(tmp_path: Path) -> None:
    data = os.urandom(1200 << 10)
    with small_disk(tmp_path / "root", "2m") as root:
        staging_of(root).mkdir(parents=True)
        with writing_ahead(staging_of(root)) as ahead:
            ahead.begin([Content.of(data)])
            wait_for(ahead)
            [staged] = staging_of(root).iterdir()
            overwrite(staged)
            [placed] = go(root, [by_hash(data)], ahead)
        assert placed.read_bytes() == data


@pytest.mark.parametrize(
    "field", ["st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size", "st_ctime_ns"]
)
def test_a_file_that_differs_in_anything_is_written_again(
    root: Path, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing_ahead(staging_of(root)) as ahead:
        ahead.begin([Content.of(LARGE)])
        wait_for(ahead)
        [staged] = staging_of(root).iterdir()
        real = staged.lstat()
        fields = {name: getattr(real, name) for name in dir(real) if name.startswith("st_")}
        seen = SimpleNamespace(**fields)
        monkeypatch.setattr(os, "lstat", lambda path: seen if path == staged else real)
        assert ahead.take(Content.of(LARGE)) == staged
        seen = SimpleNamespace(**fields | {field: fields[field] + 1})
        assert ahead.take(Content.of(LARGE)) is None


def test_nothing_is_left_of_what_nobody_takes(root: Path) -> None:
    with pytest.raises(ValueError, match="no signature"), writing_ahead(staging_of(root)) as ahead:
        ahead.begin([Content.of(LARGE), Content.of(LARGE * 2), Content.of(LARGE * 3)])
        raise ValueError("no signature")
    assert list(staging_of(root).iterdir()) == []


def test_at_the_end_nothing_is_begun_any_more(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, is_waiting, written = threading.Event(), threading.Event(), list[str]()

    def slowly() -> Iterator[bytes]:
        begun.set()
        is_waiting.wait(60)
        written.append("first")
        yield LARGE

    def at_once() -> Iterator[bytes]:
        written.append("second")
        yield LARGE

    def note_and_wait(futures: Iterable[Future[os.stat_result]]) -> None:
        is_waiting.set()
        wait(futures)

    monkeypatch.setattr(write_ahead, "wait", note_and_wait)
    with writing_ahead(staging_of(root)) as ahead:
        ahead.begin([Content.known(parts(), len(LARGE), digest) for parts, digest in ((slowly, "a"), (at_once, "b"))])
        assert begun.wait(60)
    assert written == ["first"]
    assert list(staging_of(root).iterdir()) == []


def test_a_failed_write_ahead_is_raised_where_the_file_is_needed(tmp_path: Path) -> None:
    with writing_ahead(tmp_path / "missing") as ahead:
        ahead.begin([Content.of(LARGE)])
        assert ahead.take(Content.of(b"other")) is None
        with pytest.raises(DiskError):
            ahead.take(Content.of(LARGE))


def test_a_file_that_does_not_fit_frees_its_room_at_once(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk, writing_ahead(disk) as ahead:
        before = os.statvfs(disk).f_bavail
        large = Content.of(os.urandom(2 << 20))
        ahead.begin([large])
        for _ in range(2):
            with pytest.raises(DiskError, match="No space left"):
                ahead.take(large)
            assert os.statvfs(disk).f_bavail == before


def test_only_large_files_that_stand_nowhere_are_found(root: Path) -> None:
    least = b"x" * write_ahead._LARGE_BYTES
    standing, small, new = by_hash(LARGE), by_hash(least[1:]), by_hash(least)
    go(root, [standing], None)
    content = (standing, small, TreeLink("link", "target"), new)
    publications = (Publication("a", "id", content, ()), Publication("b", "id", (by_hash(LARGE * 2),), (new,)))
    assert list(find_large(publications, REPO, root)) == [new.content, Content.of(LARGE * 2)]


def test_files_that_nobody_has_listed_are_not_listed_for_that(root: Path) -> None:
    late: LateFiles[TreeFile] = LateFiles(pytest.fail)
    assert list(find_large([Publication("a", "id", late, late)], REPO, root)) == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.binary(max_size=30), min_size=1, max_size=6),
    st.sets(st.integers(0, 5)),
    st.sets(st.integers(0, 5)),
    st.sampled_from(CHANGES[1:4]),
)
def test_the_tree_is_the_same_whatever_was_written_ahead(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[bytes],
    ahead_of: set[int],
    changed: set[int],
    change: Callable[[Path], None],
) -> None:
    root = tmp_path_factory.mktemp("root")
    staging_of(root).mkdir(parents=True)
    with writing_ahead(staging_of(root)) as ahead:
        ahead.begin([Content.of(texts[number]) for number in sorted(ahead_of) if number < len(texts)])
        wait_for(ahead)
        for number in sorted(changed & ahead_of):
            if number < len(texts):
                staged = staging_of(root) / f"ahead-{hashlib.sha256(texts[number]).hexdigest()}"
                if staged.is_file() and not staged.is_symlink():
                    change(staged)
        placed = go(root, [by_hash(text) for text in texts], ahead)
    assert [path.read_bytes() for path in placed] == texts
    assert [(root / "repo" / f"index{number}").read_bytes() for number in range(len(texts))] == texts
    assert not any(path.is_symlink() for path in placed)
