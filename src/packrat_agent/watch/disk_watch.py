"""Says that work waits for a disk which doesn't answer: the thread that waits can't, and no signal ends it.

A thread of its own looks every few seconds. A thread or a child of this process waits for a disk as long as the kernel
counts no switch to or from it, and says that it sleeps where no signal reaches it, or for an answer of FUSE.

Source: proc_pid_stat(5), proc_pid_status(5), proc_pid_wchan(5).
"""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import structlog

from packrat_agent.watch import systemd as notify

log = structlog.get_logger()

_LATE_S = 30.0
_EVERY_S = 5.0
_TASKS = Path("/proc/self/task")
_STATE = re.compile(r"^State:\t(\w)", re.MULTILINE)
_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\t(\d+)", re.MULTILINE)
_OF_FUSE = re.compile(r".*(?:fuse|request_wait_answer)")
_HINT = (
    "`packrat-agent check` names a network disk whose server is gone; a disk may also be frozen for a snapshot "
    "(`fsfreeze --unfreeze` ends that), or fail: see `dmesg`. This process can't end before the disk answers"
)


class DiskWatch:
    """Looks for threads that wait for a disk, and logs once that there are some, and once that all go on."""

    def __init__(self, late_s: float = _LATE_S) -> None:
        """Prepare to watch; `late_s`: for how many seconds a disk may take to answer."""
        self._late_s = late_s
        self._since: dict[tuple[str, ...], float] = {}
        self._reason = ""
        self._is_started = False

    @property
    def reason(self) -> str:
        """What to say of a disk that does not answer; '' while all do."""
        return self._reason

    def start(self) -> None:
        """Watch as long as this process is there."""
        if self._is_started:
            return
        self._is_started = True
        # For want of threads it goes without.
        with suppress(RuntimeError):
            Thread(target=self._watch, name="disk-watch", daemon=True).start()

    def look(self, now_s: float) -> None:
        """Look once; `now_s`: by a clock that only goes forward."""
        waiting = set(_find_waiting())
        self._since = {wait: self._since.get(wait, now_s) for wait in waiting}
        longest_s = max((now_s - since for since in self._since.values()), default=0.0)
        if longest_s >= self._late_s and not self._reason:
            self._reason = f"a disk has not answered for {longest_s:.0f} seconds"
            log.warning("hung", reason=self._reason, text=_HINT)
            notify.status(self._reason)
        elif longest_s < self._late_s and self._reason:
            self._reason = ""
            log.info("hung", text="the disk answers again")

    def _watch(self) -> None:
        while True:
            self.look(time.monotonic())
            time.sleep(_EVERY_S)


def _find_waiting() -> Iterator[tuple[str, ...]]:
    """Find the threads and children of this process that wait for a disk, each with how often it has been switched."""
    with suppress(OSError):
        for task in list(_TASKS.iterdir()):
            yield from _look_at(task)
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    yield from _look_at(Path("/proc", child))


def _look_at(task: Path) -> Iterator[tuple[str, ...]]:
    # It may end meanwhile.
    with suppress(OSError, IndexError):
        status = (task / "status").read_text(errors="replace")
        state = _STATE.findall(status)[0]
        if state == "D" or (state == "S" and _OF_FUSE.match((task / "wchan").read_text())):
            yield task.name, *_SWITCHES.findall(status)


WATCH = DiskWatch()
"""The one of this process."""
