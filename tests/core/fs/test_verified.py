"""fs.verified and fs.links: what is read are the bytes that were hashed, whoever writes; no link leads elsewhere."""

import hashlib
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from packrat_core.fs.links import open_directory, remove_any
from packrat_core.fs.verified import Opened, OtherBytes, has_writer, hash_descriptor, is_settled, read_verified

GENUINE, FORGED = b"genuine" * 9000, b"forged!" * 9000
_CLOCK_REALTIME_COARSE = 5
SHA = hashlib.sha256(GENUINE).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(GENUINE)
    return path


def overwrite(path: Path, data: bytes) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_with_its_bytes_is_read(file: Path) -> None:
    assert read_verified(file, SHA, lambda opened: opened.path.read_bytes()) == GENUINE


def test_a_verified_file_comes_with_its_stat(file: Path) -> None:
    def read(opened: Opened) -> bytes | None:
        assert os.path.samestat(opened.status, file.stat())
        assert opened.status.st_ctime_ns == file.stat().st_ctime_ns
        return opened.content

    assert read_verified(str(file), SHA, read) == GENUINE


def test_a_file_that_the_disk_does_not_give_is_told() -> None:
    with pytest.raises(OtherBytes, match="can't be read \\(Input/output error\\); it is fetched again"):
        read_verified(f"/proc/{os.getpid()}/mem", SHA, lambda opened: opened.content)


@pytest.mark.parametrize(("size", "is_given"), [(0, True), (256 * 1024, True), (256 * 1024 + 1, False)])
def test_only_few_bytes_are_held_in_memory(file: Path, size: int, is_given: bool) -> None:
    data = bytes(size)
    file.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    assert read_verified(file, sha256, lambda opened: opened.content) == (data if is_given else None)


def test_bytes_in_memory_are_those_that_were_hashed_whatever_somebody_writes(file: Path) -> None:
    seen: list[bytes | None] = []

    def read(opened: Opened) -> None:
        overwrite(file, FORGED)
        seen.append(opened.content)

    with pytest.raises(OtherBytes):
        read_verified(file, SHA, read)
    assert seen == [GENUINE]


def test_a_file_that_was_written_to_a_moment_ago_is_waited_for(file: Path) -> None:
    """A write within the same tick would leave no trace."""
    file.write_bytes(GENUINE)
    assert read_verified(file, SHA, lambda opened: is_settled(opened.status.st_ctime_ns))


def test_a_ctime_is_settled_from_the_next_tick_of_the_kernels_clock_on() -> None:
    """The kernel takes a ctime of that clock, so until then another write may get the same one."""
    while True:
        tick_ns = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        is_at_once = is_settled(tick_ns)
        if time.clock_gettime_ns(_CLOCK_REALTIME_COARSE) == tick_ns:
            break
    assert not is_at_once
    assert is_settled(tick_ns - 1)
    while time.clock_gettime_ns(_CLOCK_REALTIME_COARSE) == tick_ns:
        pass
    assert is_settled(tick_ns)


def test_a_ctime_of_the_future_is_settled() -> None:
    """It is that of a clock that was wrong; waiting for it could take years."""
    assert is_settled(time.time_ns() + 10**9)


@pytest.mark.parametrize("kind", ["gone", "bytes", "link", "pipe", "directory"])
def test_another_file_in_its_place_is_not_read(file: Path, kind: str) -> None:
    if kind == "bytes":
        overwrite(file, FORGED)
    else:
        file.rename(file.with_name("aside"))
        match kind:
            case "link":
                file.symlink_to("aside")
            case "pipe":
                os.mkfifo(file)
            case "directory":
                file.mkdir()

    def read(opened: Opened) -> None:
        raise AssertionError("it was read")

    with pytest.raises(OtherBytes):
        read_verified(file, SHA, read)


def rename_other(path: Path) -> None:
    path.with_name("spare").write_bytes(FORGED)
    path.with_name("spare").replace(path)


def test_a_file_that_goes_on_growing_is_read_to_its_former_end_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(b"x" * 300_000)
    read = os.preadv

    def read_and_grow(descriptor: int, buffers: list[memoryview], at: int) -> int:
        os.truncate(file, file.stat().st_size + 1_000_000)
        assert at < 1_000_000
        return read(descriptor, buffers, at)

    monkeypatch.setattr(os, "preadv", read_and_grow)
    with file.open("rb") as opened:
        digest, _ = hash_descriptor(opened.fileno(), 300_000)
    assert digest == hashlib.sha256(b"x" * 300_000 + b"\0").hexdigest()


def test_a_path_that_leads_elsewhere_meanwhile_changes_nothing(file: Path) -> None:
    def read(opened: Opened) -> bytes:
        rename_other(file)
        return opened.path.read_bytes()

    assert read_verified(file, SHA, read) == GENUINE


@pytest.mark.parametrize("swaps_back", [False, True])
def test_a_write_between_hash_and_read_is_noticed(file: Path, swaps_back: bool) -> None:
    """Neither where size, inode and time of the last change are the same, and the bytes are put back afterwards."""
    seen: list[bytes] = []

    def read(opened: Opened) -> bytes:
        overwrite(file, FORGED)
        seen.append(opened.path.read_bytes())
        if swaps_back:
            overwrite(file, GENUINE)
        return seen[-1]

    with pytest.raises(OtherBytes):
        read_verified(file, SHA, read)
    assert FORGED in seen


def test_a_file_that_was_written_to_once_is_read_again(file: Path) -> None:
    number = 0

    def read(opened: Opened) -> bytes:
        nonlocal number
        number += 1
        if number == 1:
            overwrite(file, FORGED)
            found = opened.path.read_bytes()
            overwrite(file, GENUINE)
            return found
        return opened.path.read_bytes()

    assert read_verified(file, SHA, read) == GENUINE
    assert number == 2


def test_another_name_of_the_file_does_no_harm(file: Path) -> None:
    names = iter(range(2))

    def read(opened: Opened) -> bytes:
        number = next(names, None)
        if number is not None:
            file.with_name(f"name-{number}").hardlink_to(file)
        return opened.path.read_bytes()

    assert read_verified(file, SHA, read) == GENUINE


def test_a_writer_with_the_file_open_or_mapped_is_found(file: Path) -> None:
    """A page that was changed through a map before can be changed again without a trace."""
    with file.open("rb") as read:
        assert not has_writer(read.fileno())
        with file.open("r+b") as write:
            if not has_writer(read.fileno()):
                pytest.skip("this filesystem has no leases")
            mapped = mmap.mmap(write.fileno(), 0)
        assert has_writer(read.fileno())
        with pytest.raises(OtherBytes, match="somebody writes"):
            read_verified(file, SHA, lambda opened: opened.path.read_bytes())
        mapped.close()
        assert not has_writer(read.fileno())


@pytest.mark.parametrize("link", ["top", "top/below"])
def test_a_directory_behind_a_link_is_not_opened(tmp_path: Path, link: str) -> None:
    (tmp_path / "elsewhere" / "below").mkdir(parents=True)
    root = tmp_path / "root"
    (root / "top" / "below").mkdir(parents=True)
    with open_directory(root, "top/below") as descriptor:
        (root / link).rename(tmp_path / "aside")
        (root / link).symlink_to(tmp_path / "elsewhere")
        os.close(os.open("mine", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    assert not list((tmp_path / "elsewhere").rglob("mine"))
    with pytest.raises(NotADirectoryError), open_directory(root, "top/below"):
        pass
    with open_directory(root, "") as descriptor:
        assert os.fstat(descriptor).st_ino == root.stat().st_ino


def make_link(path: Path) -> None:
    path.symlink_to(path.parent / "victim")


def make_directory(path: Path) -> None:
    (path / "below").mkdir(parents=True)
    (path / "below" / "link").symlink_to(path.parent / "victim")


@pytest.mark.parametrize("make", [make_link, make_directory, Path.touch, lambda path: None])
def test_anything_is_removed_and_nothing_behind_it(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").write_text("safe")
    make(tmp_path / "any")
    remove_any(tmp_path / "any")
    assert not os.path.lexists(tmp_path / "any")
    assert (tmp_path / "victim" / "file").read_text() == "safe"
