"""Other processes that check files: the same is found with them, and whatever happens to them is told."""

import hashlib
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from packrat_agent.verify import check_files, processes
from packrat_agent.verify.check_files import Checked, checking
from packrat_agent.verify.debs import find_wrong_deb
from packrat_agent.verify.findings import Named
from packrat_agent.verify.process_main import answer_batches
from packrat_agent.verify.processes import Processes
from packrat_agent.verify.repo_keys import GivenKeys, read_repo_keys
from packrat_agent.verify.signatures import Keyring
from packrat_core.errors import ConfigError, PackratError
from packrat_demo.build_deb import Deb, build_deb
from support.faults import close_to_others, flip_a_byte, link_outside, make_a_directory, make_a_pipe, remove, truncate

FILES = 300
DEADLINE_S = 120.0


_OTHERS: set[str] = set()


@pytest.fixture(autouse=True)
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes are started as soon as a file is expected, whatever this machine has, and get many batches."""
    monkeypatch.setattr(processes, "_ENOUGH_FILES", 1)
    monkeypatch.setattr(check_files, "_BATCH_FILES", 7)
    monkeypatch.setattr(processes, "count_cores", lambda: 3)


@pytest.fixture
def named(tmp_path: Path) -> list[Named]:
    """Files below a directory, as an index names them; some are spoiled, each in another way."""
    found = []
    plants = (flip_a_byte, truncate, remove, make_a_directory, link_outside, make_a_pipe, close_to_others)
    for number in range(FILES):
        path = tmp_path / f"{number % 7}/file-{number}"
        path.parent.mkdir(exist_ok=True)
        content = f"{number} ".encode() * (1 + number * 10)
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        size = None if number % 3 == 0 else len(content)
        found.append(Named(str(path.relative_to(tmp_path)), sha256, size, "SHA256SUMS"))
        if number % 10 == 0:
            plants[number // 10 % len(plants)](path)
    return [*found, Named("\ud800", "0" * 64, None, "an odd index"), Named("a\0", "0" * 64, None, "an odd index")]


def check(top: Path, named: list[Named], on_progress: Callable[[int, int], None] = lambda files, size: None) -> Checked:
    """What is found by two processes and this one."""
    with Processes(top) as helped:
        helped.expect(named[0])
        with checking(top, named, {}, on_progress, helped) as wait:
            return wait()


def check_alone(top: Path, named: list[Named]) -> Checked:
    """What is found by threads."""
    with Processes(top) as none, checking(top, named, {}, lambda files, size: None, none) as wait:
        return wait()


def ordered(checked: Checked) -> tuple[list[tuple[str, str]], int]:
    return sorted((fault.path, fault.what) for fault in checked.faults), checked.size


def until(holds: Callable[[], bool]) -> None:
    latest = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < latest
        os.sched_yield()


def until_ended(pids: list[int]) -> None:
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.fixture(autouse=True)
def others() -> Iterator[None]:
    """What other tests of this process have left running is none of ours."""
    _OTHERS.update(children())
    yield
    _OTHERS.clear()


def children() -> list[str]:
    """The processes that this one has started, and that have not been waited for."""
    every: list[str] = []
    for path in Path("/proc/self/task").iterdir():
        # A thread that was joined may take a moment to go.
        with suppress(FileNotFoundError, ProcessLookupError):
            every += (path / "children").read_text().split()
    return [pid for pid in every if pid not in _OTHERS]


def test_the_same_is_found_by_one_process_and_by_many(
    tmp_path: Path, named: list[Named], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = check_alone(tmp_path, named)
    assert len(alone.faults) == FILES // 10 + 2
    assert ordered(check(tmp_path, named)) == ordered(alone)
    # A single thread leaves all to its process.
    monkeypatch.setattr(check_files, "ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))
    assert ordered(check(tmp_path, named)) == ordered(alone)
    assert children() == []


def test_progress_comes_to_what_was_read(tmp_path: Path, named: list[Named]) -> None:
    whole = [item for number, item in enumerate(named[:FILES]) if number % 10]
    seen = [0, 0]

    def count(files: int, size: int) -> None:
        seen[0] += files
        seen[1] += size

    checked = check(tmp_path, whole, count)
    assert seen == [len(whole), checked.size]


def test_files_found_right_before_are_not_read_again(tmp_path: Path, named: list[Named]) -> None:
    whole = [item for number, item in enumerate(named[:FILES]) if number % 10]
    right = {item.path: item.sha256 for item in whole[5:]}
    read = [0]

    def count(files: int, size: int) -> None:
        read[0] += size

    with Processes(tmp_path) as helped:
        helped.expect(whole[0])
        assert helped.started
        with checking(tmp_path, whole, right, count, helped) as wait:
            wait()
    assert read[0] == sum((tmp_path / item.path).stat().st_size for item in whole[:5])


def test_a_process_looks_into_files_as_well(tmp_path: Path) -> None:
    deb = build_deb(Deb("web", "1.0", "all"))
    (tmp_path / "web.deb").write_bytes(deb)
    facts = {"Package": "web", "Version": "2.0", "Architecture": "all"}
    item = Named("web.deb", hashlib.sha256(deb).hexdigest(), len(deb), "Packages", read=partial(find_wrong_deb, facts))
    answers = io.BytesIO()
    answer_batches(tmp_path, io.BytesIO(pickle.dumps([item])), answers)
    told = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert told == [
        {"files": 1, "bytes": len(deb)},
        {
            "faults": [["web.deb", "has the Version '1.0' in its control file, '2.0' in the index"]],
            "read": len(deb),
        },
    ]


def test_a_large_file_is_reported_while_it_is_read(tmp_path: Path) -> None:
    content = bytes(5 * 1024 * 1024 + 1)
    (tmp_path / "large").write_bytes(content)
    item = Named("large", hashlib.sha256(content).hexdigest(), len(content), "SHA256SUMS")
    answers = io.BytesIO()
    answer_batches(tmp_path, io.BytesIO(pickle.dumps([item])), answers)
    *meanwhile, last = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert len(meanwhile) > 4
    assert sum(answer["bytes"] for answer in meanwhile) == last["read"] == len(content)


def test_checks_that_share_memory_run_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    seen = []

    def look() -> None:
        seen.append(os.getpid())

    empty = hashlib.sha256(b"").hexdigest()
    check(tmp_path, [Named("file", empty, 0, "x", look, shares=True)] * 10)
    assert seen == [os.getpid()] * 10


def test_few_files_and_large_ones_need_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_ENOUGH_FILES", 3)
    with Processes(tmp_path) as helped:
        for size in (1, None, 2 * 1024 * 1024, 1024 * 1024 + 1):
            helped.expect(Named("file", "", size, "SHA256SUMS"))
        assert helped.started == []
        helped.expect(Named("file", "", 1024 * 1024, "SHA256SUMS"))
        assert len(helped.started) == 2


def test_without_processes_threads_do_it(tmp_path: Path, named: list[Named], monkeypatch: pytest.MonkeyPatch) -> None:
    alone = check_alone(tmp_path, named)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    assert ordered(check(tmp_path, named)) == ordered(alone)


def test_a_killed_process_is_an_error(tmp_path: Path, named: list[Named]) -> None:
    with (
        pytest.raises(PackratError, match=r"was killed by SIGKILL, and its files are not checked; verify again"),
        Processes(tmp_path) as helped,
    ):
        helped.expect(named[0])
        os.kill(helped.started[0].pid, signal.SIGKILL)
        with checking(tmp_path, named, {}, lambda files, size: None, helped) as wait:
            wait()
    assert children() == []


def test_an_error_is_reported_before_all_is_checked(tmp_path: Path, named: list[Named]) -> None:
    whole = [item for number, item in enumerate(named[:FILES]) if number % 10]
    seen: list[int] = []
    with pytest.raises(PackratError, match="was killed"), Processes(tmp_path) as helped:
        helped.expect(named[0])
        # Not the first one, whose result is waited for first.
        os.kill(helped.started[1].pid, signal.SIGKILL)
        with checking(tmp_path, whole * 50, {}, lambda files, size: seen.append(files), helped) as wait:
            wait()
    assert sum(seen) < len(whole) * 25


def waiting_for(top: Path, look: Callable[[], str | None]) -> list[Named]:
    """A great many files, of which each is looked into by `look`."""
    (top / "file").write_bytes(b"")
    return [Named("file", hashlib.sha256(b"").hexdigest(), 0, "SHA256SUMS", look)] * 1000


def test_an_error_that_a_process_meets_with_is_the_same_error_here(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    named = waiting_for(tmp_path, partial(read_repo_keys, tmp_path, GivenKeys(missing)))  # type: ignore[arg-type]
    with Processes(tmp_path) as helped:
        helped.expect(named[0])
        with pytest.raises(ConfigError, match=f"{missing} can't be used as a public key") as caught:
            helped.started[0].check(named[:1], lambda files, size: None)
    assert caught.value.hint == "export it with `gpg --export`"


def test_an_internal_error_of_a_process_is_reported_by_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    named = waiting_for(tmp_path, partial(int, "no number"))  # type: ignore[arg-type]
    with Processes(tmp_path) as helped:
        helped.expect(named[0])
        with pytest.raises(PackratError, match="a process that checked files ended with exit code 1"):
            helped.started[0].check(named[:1], lambda files, size: None)
    assert "ValueError: invalid literal for int() with base 10: 'no number'" in capfd.readouterr().err
    assert children() == []


def test_output_printed_by_a_process_is_not_taken_for_its_answer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    named = waiting_for(tmp_path, partial(print, '{"faults": [], "read": 7}', flush=True))
    with Processes(tmp_path) as helped:
        helped.expect(named[0])
        assert helped.started[0].check(named[:1], lambda files, size: None) == ([], 0)
    assert "read" in capfd.readouterr().err


def test_an_error_here_ends_the_processes(tmp_path: Path) -> None:
    # There, the first waits for more from this process; here it would be an end at once.
    named = waiting_for(tmp_path, partial(os.read, 0, 1))  # type: ignore[arg-type]
    with (
        pytest.raises(KeyboardInterrupt),
        Processes(tmp_path) as helped,
    ):
        helped.expect(named[0])
        pids = children()
        assert len(pids) == 2
        with checking(tmp_path, [*named, named[0]], {}, lambda files, size: None, helped):
            raise KeyboardInterrupt
    assert children() == []


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_children_of_a_process_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gpgv").write_text("#!/bin/sh\nexec sleep 1000\n")
    (tmp_path / "bin/gpgv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    named = waiting_for(tmp_path, partial(Keyring(b"key").verify, b"signed", b"signature"))
    with Processes(tmp_path) as helped, ThreadPoolExecutor(1) as thread:
        helped.expect(named[0])
        pid = helped.started[0].pid
        checked = thread.submit(helped.started[0].check, named[:1], lambda files, size: None)
        until(lambda: any(b"sleep" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children_of(pid)))
        gpgv = children_of(pid)
        helped.stop()
        with pytest.raises(PackratError, match="ended with exit code 0"):
            checked.result()
    until_ended(gpgv)


_WAITS = """
import hashlib, os, sys
from functools import partial
from pathlib import Path
from packrat_agent.verify import processes
from packrat_agent.verify.check_files import checking
from packrat_agent.verify.findings import Named
processes._ENOUGH_FILES, processes.count_cores = 1, lambda: 3
top = Path(sys.argv[1])
named = [Named("file", hashlib.sha256(b"").hexdigest(), 0, "SHA256SUMS", partial(os.read, 0, 1))] * 1000
with processes.Processes(top) as helped:
    helped.expect(named[0])
    print(*(process.pid for process in helped.started), flush=True)
    with checking(top, named, {}, lambda files, size: None, helped) as wait:
        wait()
"""


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A program that waits for processes which check files, and these; all are in a process group of their own."""
    (tmp_path / "file").write_bytes(b"")
    with subprocess.Popen(
        [sys.executable, "-c", _WAITS, str(tmp_path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as program:
        assert program.stdout is not None
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) == 2
        yield program, pids
        program.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_by_one_that_was_killed(
    waiting: tuple["subprocess.Popen[str]", list[int]], number: int
) -> None:
    program, pids = waiting
    program.send_signal(number)
    assert program.wait(DEADLINE_S) == -number
    until_ended(pids)


def test_no_process_is_left_by_ctrl_c(waiting: tuple["subprocess.Popen[str]", list[int]]) -> None:
    program, pids = waiting
    # As the terminal does, which tells only this one.
    assert all(os.getpgid(pid) != program.pid for pid in pids)
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(DEADLINE_S) == -signal.SIGINT
    until_ended(pids)
    assert program.stderr is not None
    # Only this one has something to say of it.
    told = program.stderr.read()
    assert told.count('File "<string>"') == 1, told
    assert told.rstrip().endswith("KeyboardInterrupt")
