"""Shows a person at a terminal how far long work has come: what is done of how much, how fast, and the time left."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import NoReturn

from packrat_core.log import log_through
from packrat_core.text import count_of, human_size

OnProgress = Callable[[str, int, int], None]
"""Called with (what, files, bytes) since the last call."""
Totals = Callable[[], Mapping[str, int]]
"""Returns how many files there are in all, of each `what` of which that is known."""

_ASK_TOTALS_S = 1.0
_MEASURED_S = 2.0
"""Before, a rate says little."""
_LINE = "{desc}{bar}"
"""The bar of work without a known end is blank; with it, lines that are too long are cut at the terminal's width."""


@dataclass(slots=True)
class Work:
    """One piece of work that is shown: what of it is done, and since when."""

    began_s: float
    files: int = 0
    size: int = 0

    def describe(self, now_s: float, total: int | None) -> str:
        """Write how far it has come.

        Args:
            now_s: By the same clock as `began_s`.
            total: The number of files in all; None if it is not known.
        """
        took_s = now_s - self.began_s
        of = f"{self.files:,} of " if total and total >= self.files else ""
        files = count_of(total if total and of else self.files, "file", grouped=True)
        parts = [of + files, human_size(self.size)]
        if took_s >= _MEASURED_S:
            parts.append(f"{human_size(int(self.size / took_s))}/s" if self.size else f"{self.files / took_s:,.0f}/s")
            if total and 0 < self.files <= total:
                parts.append(f"{_clock((total - self.files) * took_s / self.files)} left")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


@contextmanager
def show_progress(totals: Totals) -> Iterator[OnProgress]:
    """Give a callback that draws on stderr where that is a terminal; elsewhere it does nothing.

    Args:
        totals: Asked about once a second.
    """
    if not sys.stderr.isatty():
        yield lambda what, files, size: None
        return
    # Only then: it takes longer to import than many a verify or sync lasts.
    from tqdm import tqdm

    # Nothing here needs its lock between processes, nor its thread that draws what was not drawn for long.
    tqdm.set_lock(RLock())
    tqdm.monitor_interval = 0
    with log_through(_write_above), ExitStack() as lines:
        works: dict[str, Work] = {}
        drawn: dict[str, tqdm[NoReturn]] = {}
        known: dict[str, int] = {}
        asked_s = 0.0

        def on_progress(what: str, files: int, size: int) -> None:
            nonlocal asked_s
            now_s = time.monotonic()
            work = works.setdefault(what, Work(now_s))
            work.files += files
            work.size += size
            if now_s - asked_s > _ASK_TOTALS_S:
                asked_s = now_s
                known.update(totals())
            description = f"{what:<24} {work.describe(now_s, known.get(what))}"
            if what not in drawn:
                # Without `total`: how much there is in all is asked again while the work goes on. With `miniters`, a
                # line is also drawn in time when slow work follows fast work.
                line = tqdm(
                    desc=description, bar_format=_LINE, position=len(drawn), leave=False, dynamic_ncols=True, miniters=1
                )
                drawn[what] = lines.enter_context(line)
            drawn[what].set_description_str(description, refresh=False)
            drawn[what].update()

        yield on_progress


def _write_above(text: str) -> None:
    """Write lines of the log where progress is drawn, which goes on below them."""
    from tqdm import tqdm

    with tqdm.external_write_mode(sys.stderr):
        sys.stderr.write(text)
        sys.stderr.flush()
