"""What long work shows at a terminal: done of how much, how fast, time left; and nothing elsewhere."""

import os
import pty
import re
import subprocess
import sys
import termios

import pytest

from packrat_agent.status.progress import Work
from packrat_agent.status.reading import read_totals
from packrat_demo.build_deb import Deb
from support.stage import Stage


@pytest.mark.parametrize(
    ("work", "now_s", "total", "told"),
    [
        (Work(0.0), 0.0, None, "0 files, 0 B"),
        (Work(0.0, 10, 5 << 20), 1.0, 100, "10 of 100 files, 5.0 MiB"),
        (Work(100.0, 1_000, 50 << 20), 110.0, 4_000, "1,000 of 4,000 files, 50.0 MiB, 5.0 MiB/s, 0:00:30 left"),
        (Work(0.0, 1, 1 << 20), 3600.0, 3, "1 of 3 files, 1.0 MiB, 291 B/s, 2:00:00 left"),
        (Work(0.0, 0, 10 << 20), 10.0, 3, "0 of 3 files, 10.0 MiB, 1.0 MiB/s"),
        (Work(0.0, 1, 7), 1.0, None, "1 file, 7 B"),
        (Work(0.0, 0, 0), 1.0, 1, "0 of 1 file, 0 B"),
        (Work(0.0, 50, 0), 10.0, None, "50 files, 0 B, 5/s"),
        # More than was there when it was counted.
        (Work(0.0, 5, 10), 10.0, 3, "5 files, 10 B, 1 B/s"),
    ],
)
def test_done_of_how_much_how_fast_and_time_left(work: Work, now_s: float, total: int | None, told: str) -> None:
    assert work.describe(now_s, total) == told


def _at_a_terminal(command: list[str], *, columns: int = 120, **environment: str) -> str:
    """Run a program at a terminal, and give what it draws there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = subprocess.Popen(
        command,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    drawn = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        drawn += part
    os.close(ours)
    assert process.wait(60) == 0, drawn.decode()
    return drawn.decode()


_DRAW = """
import sys, threading
import structlog
from packrat_agent.status.progress import show_progress
from packrat_core.log import set_up_log
set_up_log()
with show_progress(lambda: {"apt-dev": 3}) as on_progress:
    on_progress("apt-dev", 1, 5)
    if sys.stderr.isatty():
        structlog.get_logger().info("published")
    assert threading.active_count() == 1
"""


def test_a_terminal_sees_it_and_a_file_does_not() -> None:
    command = [sys.executable, "-c", _DRAW]
    drawn = _at_a_terminal(command)
    assert "1 of 3 files" in drawn
    # Each line of the log stands by itself, and what was drawn is drawn again below it.
    assert re.search(r" \r[\d-]+T[\d:]+Z INFO    published\r\n\rapt-dev  .* \r$", drawn)
    # A line that a narrow terminal breaks can't be drawn over.
    assert "\rapt-dev                  1 \r" in _at_a_terminal(command, columns=28)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_totals_of_a_scan_are_those_of_the_state_database(lab: Stage) -> None:
    from packrat_agent.config.load import load

    config = load(lab.config)
    assert read_totals(config) == {}
    lab.server.put_deb(Deb("one", "1", "all"))
    lab.agent("sync")
    assert read_totals(config)["checking"] > 5


@pytest.mark.parametrize("arguments", [["status"], ["sync"], ["verify"], ["doctor"], ["--help"]])
def test_with_no_color_nothing_is_coloured(lab: Stage, arguments: list[str]) -> None:
    lab.key = None
    lab.write_config()
    lab.agent("sync")
    if arguments == ["doctor"]:
        arguments = ["doctor", "--help"]
    drawn = _at_a_terminal(lab.command(*arguments), NO_COLOR="1")
    # Cursor movements are none; SGR sequences with a colour have 3x, 4x, 9x or 10x in them.
    assert not re.search(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;\d+)*m", drawn)
