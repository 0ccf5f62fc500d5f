"""A program that prints without end, hangs, or leaves a service behind that holds its pipe open."""

import os
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest

from packrat_core.bounded_run import BoundedPipe, Ending, run_program


def _run(script: str, timeout_s: float = 60) -> Ending:
    return run_program(["bash", "-c", script], os.environ, timeout_s)


@pytest.mark.parametrize(
    ("keeps_end", "kept"), [(False, {0: b"", 1: b"a", 5: b"abcde", 9: b"abcdef"}), (True, {1: b"f", 5: b"bcdef"})]
)
def test_the_first_or_the_last_bytes_are_kept(keeps_end: bool, kept: dict[int, bytes]) -> None:
    for size, expected in kept.items():
        read_end, write_end = os.pipe()
        with closing(os.fdopen(read_end)):
            pipe = BoundedPipe(read_end, size, 100, keeps_end=keeps_end)
            for part in (b"abc", b"de", b"f"):
                os.write(write_end, part)
                assert pipe.read() == len(part)
            os.close(write_end)
            assert pipe.read() == 0
            assert (pipe.content(), pipe.size) == (expected, 6)


def test_the_last_of_both_outputs_is_kept() -> None:
    ending = _run("head -c 3000000 /dev/zero; echo first; echo second >&2; exit 3")
    assert (ending.code, len(ending.printed), ending.overrun) == (3, 1 << 20, None)
    assert ending.printed.endswith("\0first\nsecond\n")


def test_a_program_that_prints_without_end_is_ended() -> None:
    # Its child does the printing.
    ending = _run("yes & wait")
    assert ending.overrun is not None
    assert 1 << 28 < ending.overrun < 1 << 29
    assert ending.code < 0


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    pipe = tmp_path / "is-alive"
    os.mkfifo(pipe)
    alive = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(subprocess.TimeoutExpired):
        _run(f"exec 9>{pipe}; sleep 1000 & sleep 1000", 0.5)
    # A process that is alive holds the other end open. A read waits until it is closed.
    os.set_blocking(alive, True)
    ended = threading.Timer(60, os._exit, [99])
    ended.start()
    assert os.read(alive, 1) == b""
    ended.cancel()
    os.close(alive)


def test_a_service_that_is_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    ending = _run(f"sleep 1000 & echo $! >{tmp_path}/pid; echo started")
    assert (ending.code, ending.printed) == (0, "started\n")
    os.kill(int((tmp_path / "pid").read_text()), 9)
