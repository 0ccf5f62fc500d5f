"""The log is one line an event, whatever is in it, and journald gets its levels."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import structlog
from packrat_core.log import set_up_log
set_up_log("debug")
log = structlog.get_logger()
log.debug("a"); log.info("published", repo="apt-dev", added=2); log.warning("w", text="two\\nlines \\x9b31m \\udc80")
log.error("held", reason='said "no"', nothing=None)
"""


def _logged(path: Path, stream: str | None) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
    with path.open("wb") as stderr:
        there = os.fstat(stderr.fileno())
        if stream is not None:
            environment["JOURNAL_STREAM"] = stream or f"{there.st_dev}:{there.st_ino}"
        subprocess.run([sys.executable, "-c", _SCRIPT], stderr=stderr, env=environment, check=True, timeout=60)
    return path.read_text().splitlines()


def test_the_journal_gets_the_level_as_a_prefix_and_no_time(tmp_path: Path) -> None:
    assert _logged(tmp_path / "log", "") == [
        "<7>a",
        "<6>published repo=apt-dev added=2",
        r'<4>w text="two\nlines \u009b31m \udc80"',
        r'<3>held reason="said \"no\""',
    ]


@pytest.mark.parametrize("stream", [None, "1:1", "nonsense"])
def test_others_get_time_and_level_also_under_a_service_that_logs_elsewhere(tmp_path: Path, stream: str | None) -> None:
    lines = _logged(tmp_path / "log", stream)
    assert [line.split()[1] for line in lines] == ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert lines[1].endswith("Z INFO    published repo=apt-dev added=2")
