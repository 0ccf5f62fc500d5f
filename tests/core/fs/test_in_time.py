"""What may wait for a disk that hangs is done by another process, whose answer and errors are as its own."""

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from packrat_core.errors import ConfigError, DiskError, PackratError
from packrat_core.fs import in_time as module
from packrat_core.fs.in_time import Patience, find_hung_mounts, in_time
from support.hung_disk import hung_disk, the_only_one

HERE = Path("/srv/mirror.conf")


@pytest.fixture
def no_hung_disk() -> Iterator[None]:
    """No disk on this machine hangs, not even one of another test."""
    with the_only_one():
        yield


def test_what_is_done_in_another_process_is_returned() -> None:
    process, text = in_time(lambda: (os.getpid(), "x" * 1_000_000), HERE)
    assert (process != os.getpid(), len(text)) == (True, 1_000_000)


def test_an_error_is_raised_here_with_its_hint_and_where_it_was_raised() -> None:
    def fail() -> None:
        raise ConfigError("it is wrong", hint="write it anew")

    with pytest.raises(ConfigError, match="it is wrong") as caught:
        in_time(fail, HERE)
    assert caught.value.hint == "write it anew"
    assert "in fail" in "".join(caught.value.__notes__)


def test_an_error_that_can_not_be_sent_is_named() -> None:
    class OfThisProcess(Exception):
        pass

    def fail() -> None:
        raise OfThisProcess("it is wrong")

    with pytest.raises(RuntimeError, match="OfThisProcess: it is wrong"):
        in_time(fail, HERE)


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(PackratError, match="the process that looked at the disk was killed"):
        in_time(lambda: os.kill(os.getpid(), 9), HERE)


@pytest.mark.usefixtures("no_hung_disk")
def test_who_started_this_program_may_ignore_the_end_of_processes() -> None:
    """Some supervisors do that, and programs inherit it."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert in_time(lambda: "done", HERE) == "done"
        assert find_hung_mounts() == []
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("no_hung_disk")
def test_without_another_process_the_work_is_done_in_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refuse)
    before = os.listdir("/proc/self/fd")
    assert in_time(os.getpid, HERE) == os.getpid()
    assert find_hung_mounts() == []
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_the_other_process_has_only_the_way_for_its_answer_open() -> None:
    def list_open() -> list[str]:
        return [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.exists()]

    with Path("/dev/zero").open("rb"):
        opened = in_time(list_open, HERE)
    (way,) = (place for place in opened if place != os.devnull and not place.startswith("/proc/"))
    assert way.startswith("pipe:")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_disk_that_hangs_is_named(tmp_path: Path) -> None:
    place = tmp_path / "a disk"
    place.mkdir()
    with hung_disk(place) as disk:
        disk.is_silent = disk.hangs = True
        # In which the processes that ask have to begin, also on a busy machine.
        assert str(place) in [mount.point for mount in find_hung_mounts(answers_within_s=4.0)]
        with pytest.raises(DiskError, match=f"a disk does not answer: .*{place} \\(fuse of test\\)"):
            in_time(place.stat, place, Patience(slow_s=0.1, hung_s=0.2))


@pytest.mark.usefixtures("no_hung_disk")
def test_what_takes_long_without_a_disk_that_hangs_ends() -> None:
    assert in_time(os.getppid, HERE, Patience(slow_s=0.0, hung_s=0.0)) == os.getpid()


@pytest.mark.usefixtures("no_hung_disk")
def test_a_frozen_disk_is_told_after_a_while() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(DiskError, match="did not answer within 0 seconds; it may be frozen"):
            in_time(
                lambda: os.read(os.open(f"/proc/{os.getppid()}/fd/{reading}", os.O_RDONLY), 1),
                HERE,
                Patience(slow_s=0.0, longest_s=0.1),
            )
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.usefixtures("no_hung_disk")
def test_a_machine_with_too_much_to_do_is_no_disk_that_hangs() -> None:
    """The processes that ask for the mounts had no time to begin."""
    assert find_hung_mounts(answers_within_s=0.0) == []


def test_a_disk_that_answers_late_like_all_others_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second that is over before the last of them is heard."""
    moments = iter([0.0, 0.1, 1.2, 1.3, 2.1])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    reading, writing = os.pipe()
    try:
        heard = []
        os.write(writing, b"\0")
        for number in module._read_numbers(reading, 1.0):
            heard.append(number)
            os.write(writing, bytes([len(heard)]))
    finally:
        os.close(reading)
        os.close(writing)
    assert heard == [0, 1, 2]
