"""Files that processes check before all indexes are read: the same is found, and what became known later counts."""

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from packrat_agent.verify import early_checks, processes
from packrat_agent.verify.check_file import Paths, check_file
from packrat_agent.verify.debs import find_wrong_deb
from packrat_agent.verify.early_checks import Batch, EarlyChecks
from packrat_agent.verify.findings import Named
from packrat_agent.verify.processes import Processes
from packrat_core.errors import PackratError
from packrat_demo.build_deb import Deb, build_deb
from support.faults import flip_a_byte, remove, truncate

FILES = 60
DEADLINE_S = 120.0


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_ENOUGH_FILES", 1)
    monkeypatch.setattr(processes, "count_cores", lambda: 3)
    monkeypatch.setattr(early_checks, "_BATCH_FILES", 5)


@pytest.fixture
def named(tmp_path: Path) -> list[Named]:
    """Debs as an index names them; some are spoiled, and some are not what it says of them."""
    plants = (flip_a_byte, truncate, remove)
    found = []
    for number in range(FILES):
        deb = build_deb(Deb(f"web{number}", "1.0", "all"))
        path = tmp_path / f"web{number}.deb"
        path.write_bytes(deb)
        facts = {"Package": f"web{number}", "Version": "2.0" if number % 7 == 0 else "1.0", "Architecture": "all"}
        sha256 = hashlib.sha256(deb).hexdigest()
        found.append(Named(path.name, sha256, len(deb), "Packages", read=partial(find_wrong_deb, facts)))
        if number % 11 == 0:
            plants[number // 11 % len(plants)](path)
    return found


def nothing(files: int, size: int) -> None:
    """Nobody looks at the progress."""


def until(holds: Callable[[], bool]) -> None:
    latest = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < latest
        os.sched_yield()


def expect_all(early: EarlyChecks, named: list[Named]) -> None:
    """Have all checked, and wait for it."""
    for item in named:
        early.expect(item)
    until(lambda: sum(len(batch.files) for batch in early._checked) == len(named))


def by_path(named: list[Named]) -> dict[str, Named]:
    return {item.path: item for item in named}


def found_in(batches: Iterator[Batch] | list[Batch]) -> tuple[list[tuple[str, str]], int]:
    batches = list(batches)
    faults = sorted((fault.path, fault.what) for batch in batches for fault in batch.faults)
    return faults, sum(batch.size for batch in batches)


def test_the_same_is_found_as_by_this_process(tmp_path: Path, named: list[Named]) -> None:
    told = [0, 0]

    def count(files: int, size: int) -> None:
        told[0] += files
        told[1] += size

    with Processes(tmp_path) as others, EarlyChecks(others) as early:
        expect_all(early, named)
        assert told == [0, 0]
        faults, size = found_in(list(early.end(by_path(named), count)))
    tree = Paths(tmp_path)
    here = [check_file(tree, item, nothing) for item in named]
    assert faults == sorted((fault.path, fault.what) for fault, _ in here if fault is not None)
    assert len(faults) == FILES // 11 + 1 + FILES // 7
    assert size == sum(size for _, size in here)
    assert told == [FILES, size]


def test_a_file_of_which_more_became_known_does_not_count(tmp_path: Path, named: list[Named]) -> None:
    with Processes(tmp_path) as others, EarlyChecks(others) as early:
        expect_all(early, named)
        known = by_path(named)
        again = named[0].path
        known[again] = replace(named[0], by="another index")
        batches = early.end(known, nothing)
    counting = {item.path for batch in batches for item in batch.files}
    assert again not in counting
    # Those of its batch are checked again with it; a batch says no more than the sum of their sizes.
    assert len(counting) == FILES - 5


@pytest.mark.parametrize("more", [{"read": None}, {"look": print}, {"shares": True}, {"size": 1024 * 1024 + 1}])
def test_files_likely_to_be_named_again_wait(tmp_path: Path, named: list[Named], more: dict[str, object]) -> None:
    with Processes(tmp_path) as others, EarlyChecks(others) as early:
        for item in named:
            early.expect(replace(item, **more))  # type: ignore[arg-type]
        assert early._batches.empty()
        assert early.end(by_path(named), nothing) == []


def test_without_processes_nothing_is_checked_early(
    tmp_path: Path, named: list[Named], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_ENOUGH_FILES", FILES + 1)
    with Processes(tmp_path) as others, EarlyChecks(others) as early:
        for item in named:
            early.expect(item)
        assert early.end(by_path(named), nothing) == []
        assert others.started == []


def test_a_killed_process_is_an_error(tmp_path: Path, named: list[Named]) -> None:
    with (
        pytest.raises(PackratError, match=r"was killed by SIGKILL, and its files are not checked"),
        Processes(tmp_path) as others,
        EarlyChecks(others) as early,
    ):
        early.expect(named[0])
        for process in others.started:
            os.kill(process.pid, signal.SIGKILL)
        for item in named[1:]:
            early.expect(item)
        until(lambda: all(task.done() for task in early._tasks))
        early.end(by_path(named), nothing)


def test_an_error_here_waits_for_no_process(tmp_path: Path, named: list[Named]) -> None:
    with pytest.raises(KeyboardInterrupt), Processes(tmp_path) as others, EarlyChecks(others) as early:
        # There, each file waits for more from this process.
        waits = [replace(item, read=partial(os.read, 0)) for item in named]  # type: ignore[arg-type]
        for item in waits:
            early.expect(item)
        pids = [process.pid for process in others.started]
        raise KeyboardInterrupt
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_an_error_on_the_way_out_leaves_no_thread_waiting(
    tmp_path: Path, named: list[Named], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        """Ctrl-C comes a second time while the processes are ended."""
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Processes(tmp_path) as others, EarlyChecks(others) as early:
        expect_all(early, named)
        monkeypatch.setattr(others, "stop", interrupt)
        raise KeyboardInterrupt
    until(lambda: all(task.done() for task in early._tasks))


def test_a_process_that_is_killed_is_reported_while_indexes_are_still_read(tmp_path: Path, named: list[Named]) -> None:
    with (
        pytest.raises(PackratError, match=r"was killed by SIGKILL, and its files are not checked"),
        Processes(tmp_path) as started,
        EarlyChecks(started) as early,
    ):
        expect_all(early, named)
        for process in started.started:
            os.kill(process.pid, signal.SIGKILL)
        latest = time.monotonic() + DEADLINE_S
        # An index without an end.
        while time.monotonic() < latest:
            early.expect(named[0])
