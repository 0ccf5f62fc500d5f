"""Says that work waits for a disk which doesn't answer: the thread that waits can't, and no signal ends it.

A thread of its own looks every few seconds. A thread or a child of this process waits for a disk as long as the kernel
counts no switch to or from it, and says that it sleeps where no signal reaches it, or for an answer of FUSE.
To flush all of a filesystem is one such wait, also while the disk writes as fast as it can.

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
from packrat_core.text import count_of

log = structlog.get_logger()

_LATE_S = 30.0
_FLUSHED_S = 300.0
"""A slow disk takes minutes for gigabytes."""
_EVERY_S = 5.0
_TASKS = Path("/proc/self/task")
_STATE = re.compile(r"^State:\t(\w)", re.MULTILINE)
_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\t(\d+)", re.MULTILINE)
_OF_FUSE = re.compile(r".*(?:fuse|request_wait_answer)")
_OF_SYNCFS = re.compile(r"wb_wait_for_completion")
_HINT = (
    "`packrat-agent check` names a network disk whose server is gone; a disk may also be frozen for a snapshot "
    "(`fsfreeze --unfreeze` ends that), or fail: see `dmesg`. This process can't end before the disk answers"
)

_Wait = tuple[str, ...]
"""A thread or child that waits, and how often it has been switched: by that, one wait is told from the next."""


class DiskWatch:
    """Looks for threads that wait for a disk, and logs once that there are some, and once that all go on."""

    def __init__(self, tasks: Path = _TASKS) -> None:
        """Prepare to watch; `tasks`: where the kernel tells of each thread."""
        self._tasks = tasks
        self._since: dict[_Wait, float] = {}
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
        limits_s = dict(_find_waiting(self._tasks))
        self._since = {wait: self._since.get(wait, now_s) for wait in limits_s}
        late_s = [now_s - since for wait, since in self._since.items() if now_s - since >= limits_s[wait]]
        if late_s and not self._reason:
            self._reason = f"a disk has not answered for {count_of(round(max(late_s)), 'second')}"
            log.warning("hung", reason=self._reason, text=_HINT)
            notify.status(self._reason)
        elif self._reason and not late_s:
            self._reason = ""
            log.info("hung", text="the disk answers again")

    def _watch(self) -> None:
        while True:
            self.look(time.monotonic())
            time.sleep(_EVERY_S)


def _find_waiting(tasks: Path) -> Iterator[tuple[_Wait, float]]:
    """Find the threads and children of this process that wait for a disk, each with how many seconds that may take."""
    with suppress(OSError):
        for task in list(tasks.iterdir()):
            yield from _look_at(task)
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    yield from _look_at(Path("/proc", child))


def _look_at(task: Path) -> Iterator[tuple[_Wait, float]]:
    # It may end meanwhile.
    with suppress(OSError, IndexError):
        status = (task / "status").read_text(errors="replace")
        state = _STATE.findall(status)[0]
        if state not in ("D", "S"):
            return
        place = (task / "wchan").read_text()
        if state == "D" or _OF_FUSE.match(place):
            yield (task.name, *_SWITCHES.findall(status)), _FLUSHED_S if _OF_SYNCFS.match(place) else _LATE_S


WATCH = DiskWatch()
"""The one of this process."""
