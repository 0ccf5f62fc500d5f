"""Looks at the disk in a thread of its own, at half speed and with the lowest claim on the disk, beside other work."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self

from packrat_agent.state.facts import ScanProgress
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.disk_look import Look, look_beside
from packrat_agent.watch.throttle import Stopped, Throttle, be_gentle
from packrat_core.errors import DiskError


class BackgroundLook:
    """One look after the other; to be used as a context, at whose end a look under way is stopped."""

    def __init__(self, context: MirrorContext, on_end: Callable[[], None]) -> None:
        self._context = context
        self._on_end = on_end
        self._stopping = threading.Event()
        self._executor = ThreadPoolExecutor(1, "scan", be_gentle)
        self._look: asyncio.Future[Look] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        self._executor.shutdown()

    def start(self, *, reads_everything: bool) -> None:
        """Begin to look; `on_end` is called when it is over. `reads_everything`: also what has its turn another day."""
        throttle = Throttle(self._context, self._stopping)
        work = partial(look_beside, self._context, throttle, reads_everything=reads_everything)
        self._look = asyncio.get_running_loop().run_in_executor(self._executor, work)
        self._look.add_done_callback(self._end)

    @property
    def is_over(self) -> bool:
        """Whether a look ended, well or not, and nobody took its result; one that was stopped doesn't count."""
        if self._look is None or not self._look.done() or self._look.cancelled():
            return False
        return not isinstance(self._look.exception(), Stopped)

    def take(self) -> Look:
        """Give the result of a look that is over, once.

        Raises:
            DiskError: The look failed.
        """
        over, self._look = self._look, None
        assert over is not None
        self._context.store.facts.drop(ScanProgress)
        try:
            return over.result()
        except DiskError:
            raise
        except Exception as error:
            raise DiskError(
                f"the scan of {self._context.config.mirror.root_dir} failed: {type(error).__name__}: {error}",
                hint="the next full sync scans it again; look for errors of this disk in the kernel's log (`dmesg`)",
            ) from error

    def _end(self, look: "asyncio.Future[Look]") -> None:
        if not look.cancelled():
            # Asked for here, so that asyncio doesn't complain where nobody takes it any more.
            look.exception()
        self._on_end()
