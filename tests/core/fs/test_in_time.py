"""What may wait for a disk that hangs is done by another process, whose answer and errors are as its own."""

import os
from pathlib import Path

import pytest

from packrat_core.errors import ConfigError, DiskError
from packrat_core.fs import in_time as module
from packrat_core.fs.in_time import find_hung_mounts, in_time
from support.hung_disk import hung_disk


def test_what_is_done_in_another_process_is_returned() -> None:
    process, text = in_time(lambda: (os.getpid(), "x" * 1_000_000))
    assert (process != os.getpid(), len(text)) == (True, 1_000_000)


def test_an_error_is_raised_here_with_its_hint_and_where_it_was_raised() -> None:
    def fail() -> None:
        raise ConfigError("it is wrong", hint="write it anew")

    with pytest.raises(ConfigError, match="it is wrong") as caught:
        in_time(fail)
    assert caught.value.hint == "write it anew"
    assert "in fail" in "".join(caught.value.__notes__)


def test_an_error_that_can_not_be_sent_is_named() -> None:
    class OfThisProcess(Exception):
        pass

    def fail() -> None:
        raise OfThisProcess("it is wrong")

    with pytest.raises(RuntimeError, match="OfThisProcess: it is wrong"):
        in_time(fail)


def test_a_process_that_is_killed_is_told() -> None:
    with pytest.raises(RuntimeError, match="ended without an answer"):
        in_time(lambda: os.kill(os.getpid(), 9))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_disk_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLOW_S", 0.1)
    monkeypatch.setattr(module, "_HUNG_S", 0.2)
    place = tmp_path / "a disk"
    place.mkdir()
    with hung_disk(place) as disk:
        disk.is_silent = disk.hangs = True
        assert [mount.point for mount in find_hung_mounts()] == [str(place)]
        with pytest.raises(DiskError, match=f"a disk does not answer: {place} \\(fuse of test\\)"):
            in_time(place.stat)


def test_what_takes_long_without_a_disk_that_hangs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLOW_S", 0.0)
    monkeypatch.setattr(module, "_HUNG_S", 0.0)
    assert in_time(os.getppid) == os.getpid()


def test_a_frozen_disk_is_told_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SLOW_S", 0.0)
    monkeypatch.setattr(module, "_LONGEST_S", 0.1)
    reading, writing = os.pipe()
    try:
        with pytest.raises(DiskError, match="did not answer within 0 seconds; it may be frozen"):
            in_time(lambda: os.read(os.open(f"/proc/{os.getppid()}/fd/{reading}", os.O_RDONLY), 1))
    finally:
        os.close(reading)
        os.close(writing)
