"""The fuzz engine: makes inputs for readers, and reads each within bounds of time and memory.

1. An input is a changed sample, or what a Hypothesis strategy makes; which, follows from target, seed and number alone.
   Number 0 is the first sample as it is, which has to be read: a reader that refuses even that sees nothing else.
2. A reader fails that raises anything but the errors it may raise, or takes more time or memory than a small input can
   be worth. So does one that ends the process, or doesn't return: then `guarded` ends the process, and its parent
   finds the input in the file `current`.
3. Inputs that fail are kept as `<corpus>/<target>/<hash>`; `replay` reads such a file again.
"""

import faulthandler
import hashlib
import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from packrat_core.errors import PackratError
from support.fuzz.mutate import mutate

CPU_S = 10.0
"""Processor time that an input of SIZE_LIMIT bytes may take."""
WALL_S = 60.0
"""Time that it may take on a busy machine, also while it waits."""
MEMORY_BYTES = 640 * 1024 * 1024
"""Address space beyond what the process has before the first input."""
CURRENT = "current"

_SAME_FAILURES = 3
_FROM_STRATEGY = 4
_BUFFER_BYTES = 4096
_PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Target:
    """A reader.

    Attributes:
        name: `<family>.<reader>`.
        samples: Inputs that are changed; the first one is sound.
        read: Reads an input.
        strategy: Makes inputs of the right form; None for none.
        may_raise: How the reader refuses an input.
    """

    name: str
    samples: Sequence[bytes]
    read: Callable[[bytes], object]
    strategy: SearchStrategy[bytes] | None = None
    may_raise: tuple[type[Exception], ...] = (PackratError,)


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that a reader fails on; `cause` tells failures apart, `text` is for people."""

    target: str
    data: bytes
    cause: str
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """What an input follows from."""

    target: str
    seed: int
    number: int

    def __str__(self) -> str:
        """As it is told."""
        return f"{self.target} with seed {self.seed}, number {self.number}"


class Overtime(BaseException):
    """A reader takes too long; not an Exception, so that no reader handles it."""


def make_input(target: Target, case: Case) -> bytes:
    """Make an input."""
    if case.number == 0:
        return target.samples[0]
    dice = random.Random(f"{case.target} {case.seed} {case.number}")
    if target.strategy is not None and case.number % _FROM_STRATEGY == 0:
        made = _draw(target.strategy, dice.randbytes(_BUFFER_BYTES))
        if made is not None:
            return made
    return mutate(dice, dice.choice(target.samples), target.samples)


def _draw(strategy: SearchStrategy[bytes], choices: bytes) -> bytes | None:
    """Have a strategy make a value of these bytes; None where they do not suffice."""
    made, fuzz_one_input = _drawer(strategy)
    made.clear()
    fuzz_one_input(choices)
    return made[0] if made else None


@cache
def _drawer(strategy: SearchStrategy[bytes]) -> tuple[list[bytes], Callable[[bytes], object]]:
    """Give Hypothesis' hook for fuzzers, and the list that it puts the value into; making one takes long."""
    made: list[bytes] = []

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def keep(value: bytes) -> None:
        made.append(value)

    return made, keep.hypothesis.fuzz_one_input  # type: ignore[attr-defined] # the hook is not typed


@contextmanager
def guarded(directory: Path) -> Iterator[None]:
    """Bound the memory of this process, and have it end when a reader does not return.

    Args:
        directory: Where its standard error may be written to, for the stack of the reader that did not return.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * _PAGE_BYTES + MEMORY_BYTES, hard))
    handlers = [(number, signal.signal(number, _end)) for number in (signal.SIGPROF, signal.SIGALRM)]
    with (directory / "stack").open("w") as stack:
        faulthandler.enable(stack)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            faulthandler.disable()
            for number, handler in handlers:
                signal.signal(number, handler)
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _end(number: int, _frame: FrameType | None) -> None:
    raise Overtime("too much processor time" if number == signal.SIGPROF else "too much time")


def run_case(target: Target, data: bytes) -> Failure | None:
    """Read one input within bounds; tells how it failed, if it did."""
    # The signals' handlers only run between two steps of Python; this ends the process in any case.
    faulthandler.dump_traceback_later(2 * WALL_S, exit=True)
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, CPU_S)
            signal.setitimer(signal.ITIMER_REAL, WALL_S)
            target.read(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    except target.may_raise:
        return None
    except (Exception, Overtime) as error:
        return Failure(target.name, data, _cause(error), "".join(traceback.format_exception(error)))
    return None


def _cause(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/packrat_" in frame.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "?"
    return f"{type(error).__name__} in {place}"


def fuzz(
    targets: Sequence[Target], seed: int, corpus: Path, *, cases: int | None = None, seconds: float = 0.0
) -> tuple[int, list[Failure]]:
    """Read changed samples, and keep those that fail.

    Args:
        targets: The readers, each of which gets the same processor time, or the same number of inputs.
        seed: Inputs follow from it.
        corpus: Where inputs that fail are kept, and each one while it is read.
        cases: Number of inputs for each reader; None for as many as there is time for.
        seconds: Time, if `cases` is None.

    Returns:
        The number of inputs, and the failures, a few of each cause.
    """
    ends = time.monotonic() + seconds
    numbers = dict.fromkeys((target.name for target in targets), 0)
    spent = dict.fromkeys(numbers, 0.0)
    failures: list[Failure] = []
    corpus.mkdir(parents=True, exist_ok=True)
    while True:
        left = [target for target in targets if cases is None or numbers[target.name] < cases]
        if not left or (cases is None and time.monotonic() >= ends):
            return sum(numbers.values()), failures
        target = min(left, key=lambda one: spent[one.name])
        case = Case(target.name, seed, numbers[target.name])
        numbers[target.name] += 1
        began = time.thread_time()
        data = make_input(target, case)
        (corpus / CURRENT).write_bytes(f"{case}\n".encode() + data)
        failure = run_case(replace(target, may_raise=()) if case.number == 0 else target, data)
        spent[target.name] += time.thread_time() - began
        if failure is not None and sum(known.cause == failure.cause for known in failures) < _SAME_FAILURES:
            path = keep(corpus, failure, case)
            failures.append(replace(failure, text=f"{case}, kept as {target.name}/{path.name}\n{failure.text}"))


def keep(corpus: Path, failure: Failure, case: Case) -> Path:
    """Keep an input that fails, and beside it what it is made of and how it failed."""
    path = corpus / failure.target / hashlib.sha256(failure.data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(failure.data)
    path.with_suffix(".txt").write_text(f"{case}\n{failure.cause}\n{failure.text}", errors="backslashreplace")
    return path
