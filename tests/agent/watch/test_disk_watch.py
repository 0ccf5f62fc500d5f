"""Work that waits for a disk which doesn't answer is told, once, and so is that it goes on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from structlog.testing import capture_logs

from packrat_agent.watch.disk_watch import DiskWatch
from support.hung_disk import hung_disk

RUNNING_S = 60.0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize(
    "wait",
    [
        pytest.param(lambda file: Thread(target=file.exists, daemon=True).start(), id="a thread"),
        pytest.param(lambda file: subprocess.Popen(["cat", str(file)], stderr=subprocess.DEVNULL), id="a child"),
    ],
)
def test_a_disk_that_hangs_is_told_once(tmp_path: Path, wait: Callable[[Path], object]) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    watch = DiskWatch()
    with capture_logs() as logged:
        watch.look(0.0)
        with hung_disk(place) as disk:
            disk.is_silent = disk.hangs = True
            waiting = wait(place / "file")
            assert disk.asked.wait(RUNNING_S)
            for now_s in (10.0, 39.0):
                watch.look(now_s)
                assert watch.reason == ""
            for now_s in (40.0, 1000.0):
                watch.look(now_s)
                assert watch.reason == "a disk has not answered for 30 seconds"
        if isinstance(waiting, subprocess.Popen):
            waiting.wait(RUNNING_S)
        watch.look(1005.0)
        assert watch.reason == ""
    assert [(line["event"], line["log_level"]) for line in logged] == [("hung", "warning"), ("hung", "info")]


@pytest.mark.parametrize(
    ("state", "place", "late_s"),
    [("D (disk sleep)", "folio_wait_bit", 30.0), ("D (disk sleep)", "wb_wait_for_completion", 300.0)],
    ids=["a page", "all of a filesystem"],
)
def test_a_flush_of_a_filesystem_may_take_minutes(tmp_path: Path, state: str, place: str, late_s: float) -> None:
    """A slow disk that has gigabytes to write does not hang; the thread is not woken before all is written."""
    task = tmp_path / "1234"
    task.mkdir()
    (task / "status").write_text(f"State:\t{state}\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t1\n")
    (task / "wchan").write_text(place)
    watch = DiskWatch(tmp_path)
    for now_s in (0.0, late_s - 1):
        watch.look(now_s)
        assert watch.reason == ""
    watch.look(late_s)
    assert watch.reason == f"a disk has not answered for {late_s:.0f} seconds"


@pytest.mark.parametrize(
    ("command", "is_watched"), [(("run",), True), (("sync",), True), (("key", "show"), True), (("check",), False)]
)
def test_commands_that_work_with_disks_are_watched(tmp_path: Path, command: tuple[str, ...], is_watched: bool) -> None:
    code = (
        "import atexit, sys, threading; from packrat_agent.cli.main import main;"
        "atexit.register(lambda: print(*(thread.name for thread in threading.enumerate())));"
        "main()"
    )
    given = [sys.executable, "-c", code, "--config", str(tmp_path / "missing.conf"), *command]
    done = subprocess.run(given, capture_output=True, text=True, timeout=RUNNING_S, check=False)
    assert ("disk-watch" in done.stdout) is is_watched, done.stderr


def test_what_waits_for_anything_else_is_no_disk() -> None:
    watch = DiskWatch()
    with subprocess.Popen(["sleep", "60"]) as process, capture_logs() as logged:
        try:
            for now_s in (0.0, 100.0):
                watch.look(now_s)
        finally:
            process.kill()
    assert (watch.reason, logged) == ("", [])
