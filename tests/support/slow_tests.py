"""Tells at once what fails and what takes long: the log of a run that is cut off still names the test to look at."""

import threading
import time

import pytest

_LOOK_EVERY_S = 30
_LONG_S = 90


class SlowTests:
    """Follows the tests of all workers, and writes a line for each that failed or that has run for long."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter
        self._started: dict[str, float] = {}
        self._told: set[str] = set()
        self._ended = threading.Event()
        # A daemon, so that pytest's own end never waits for it.
        threading.Thread(target=self._watch, daemon=True).start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._started[nodeid] = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._tell(f"FAILED {report.nodeid} ({report.when}, after {report.duration:.0f} s)")
        elif report.nodeid in self._told and report.when == "call":
            self._tell(f"passed {report.nodeid} (after {report.duration:.0f} s)")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._started.pop(nodeid, None)

    def pytest_unconfigure(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            now = time.monotonic()
            for nodeid, started in list(self._started.items()):
                if now - started > _LONG_S and nodeid not in self._told:
                    self._told.add(nodeid)
                    self._tell(f"runs for {now - started:.0f} s: {nodeid}")

    def _tell(self, text: str) -> None:
        self._reporter.ensure_newline()
        self._reporter.write_line(text)
        self._reporter.flush()
