"""Does what may wait for a disk that hangs in a process of its own, so that the program itself answers in bounded time.

A network disk whose server is gone lets each process wait that looks at it, in the kernel, where no signal ends it.
"""

import os
import pickle
import select
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from packrat_core.errors import DiskError, PackratError
from packrat_core.fs.left_looks import (
    LeftLook,
    find_left,
    has_asked,
    is_too_soon,
    is_waiting,
    look_name,
    mount_name,
    take_name,
)
from packrat_core.fs.mounts import Mount, list_mounts
from packrat_core.text import count_of, name_some

T = TypeVar("T")

_MAY_BE_FROZEN = "it may be frozen for a snapshot (`fsfreeze --unfreeze` ends that), or fail: see `dmesg`"
_MOUNT_ANSWERS_S = 1.0
_MOUNTS_LIMIT = 200
_ASKED, _ANSWERED = 1, 2
"""How often a process has written its number by then."""
_FEW = 256
"""How many file descriptors this program has at most where it needs another process; that is where /proc is closed."""
_UNASKED = frozenset({"autofs", "proc", "sysfs", "devpts", "cgroup", "cgroup2", "mqueue", "tracefs", "debugfs", "bpf"})
"""Types of filesystems that need no disk; and autofs, which mounts another one when it is asked."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an answer: the clients of monitoring systems wait for ten seconds.

    Attributes:
        slow_s: After so long, the filesystems are asked whether one hangs.
        hung_s: How long to wait in all where one does.
        longest_s: How long where none does: a large mirror on a busy disk may take so long, too.
    """

    slow_s: float = 4.0
    hung_s: float = 7.0
    longest_s: float = 60.0


_USUAL = Patience()


def in_time(work: Callable[[], T], of: Path, patience: Patience = _USUAL) -> T:
    """Do something that only reads, and return what it returns.

    While a disk hangs, each call leaves a process; after such a call, others fail at once for a while.

    Args:
        work: It is done in a copy of this process, which has one thread and opens no terminal; what it returns or
            raises can be pickled.
        of: Where it begins to look, such as at mirror.conf. What was left of the same look counts.
        patience: How long to wait for it.

    Raises:
        DiskError: It did not end in time; the message names the filesystems that don't answer.
        PackratError: The other process was killed.
    """
    left, name = find_left(), look_name(of)
    # One that began a moment ago may be about to end.
    earlier = [look for look in left.get(name, []) if look.age_s >= patience.slow_s]
    # The disk may have been unmounted since, though those that wait for it still do.
    if is_too_soon(earlier) and ((asked := _find_asked(left)) or not has_asked(left)):
        raise _explain_late(asked, patience, earlier)
    reading, writing = os.pipe()
    try:
        child = os.fork()
    except OSError:
        # For want of processes or memory: most disks answer, and then this one is enough.
        os.close(reading)
        os.close(writing)
        return work()
    if child == 0:
        _answer(work, writing, name)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        answer, hung = _read(pipe.fileno(), patience)
    if answer is None:
        _kill(child)
        raise _explain_late(hung, patience)
    _await_end(child)
    if not answer:
        raise PackratError(
            "the process that looked at the disk was killed",
            hint="call this again; `dmesg` says whether the system did that for want of memory",
        )
    is_error, value = pickle.loads(answer)  # noqa: S301 from a copy of this process
    if is_error:
        raise value
    result: T = value
    return result


def _answer(work: Callable[[], T], writing: int, name: str) -> None:
    """Do the work, write its answer to a pipe, and end without the clean-up of the process that this is a copy of."""
    try:
        take_name(name)
        _let_go_of_all_but(writing)
        try:
            answer = pickle.dumps((False, work()))
        except Exception as error:
            answer = _pickle_error(error)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
    finally:
        os._exit(0)


def _await_end(child: int) -> None:
    """Wait until a process ends, which is about to."""
    # Whoever started this program may have told the system to forget processes as they end.
    with suppress(ChildProcessError):
        os.waitpid(child, 0)


def _kill(child: int) -> None:
    """Kill a process; it may be gone, or end only once the disk answers."""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def _let_go_of_all_but(writing: int) -> None:
    """Close what this copy of the process has open: who reads to its end what the program prints waits for no copy."""
    # In a container there may be a billion numbers, and not every build of Python closes those at once.
    try:
        numbers = list(map(int, os.listdir("/proc/self/fd")))
    except OSError:
        numbers = list(range(_FEW))
    for descriptor in numbers:
        if descriptor > 2 and descriptor != writing:
            with suppress(OSError):
                os.close(descriptor)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)


def _pickle_error(error: Exception) -> bytes:
    error.add_note("".join(traceback.format_exception(error)))
    try:
        answer = pickle.dumps((True, error.with_traceback(None)))
        pickle.loads(answer)  # noqa: S301 it was made here
    except Exception:
        return pickle.dumps((True, RuntimeError(f"{type(error).__name__}: {error}")))
    return answer


def _read(descriptor: int, patience: Patience) -> tuple[bytes | None, list[Mount]]:
    """Read to the end; None if that does not come in time, with the filesystems that don't answer."""
    started, parts, hung = time.monotonic(), list[bytes](), list[Mount]()
    limit_s, look_s = patience.longest_s, patience.slow_s
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        taken_s = time.monotonic() - started
        if poll.poll(max(0.0, min(limit_s, look_s) - taken_s) * 1000):
            part = os.read(descriptor, 1 << 16)
            if not part:
                return b"".join(parts), []
            parts.append(part)
        elif limit_s <= look_s:
            return None, hung
        else:
            # A large mirror on a busy disk may take so long, too. A machine that is so busy that nobody could ask the
            # disks is asked again.
            hung, taken_s = find_hung_mounts(), time.monotonic() - started
            longest_s = patience.longest_s
            limit_s, look_s = (patience.hung_s, longest_s) if hung else (longest_s, max(2 * taken_s, patience.slow_s))


def _explain_late(hung: Sequence[Mount], patience: Patience, earlier: Sequence[LeftLook] = ()) -> DiskError:
    """Say that a disk does not answer.

    Args:
        hung: Which ones.
        patience: How long this call has waited.
        earlier: The processes that still wait, where this call has not looked itself.
    """
    if hung:
        named = name_some([f"{mount.point} ({mount.kind} of {mount.source})" for mount in hung])
        return DiskError(
            f"a disk does not answer: {named}",
            hint="see to the machine or device that it comes from, or unmount it (`umount -f`, or else `umount -l`)",
        )
    if earlier:
        first = max(earlier, key=lambda look: look.age_s)
        waited = count_of(round(first.age_s), "second")
        return DiskError(
            f"a disk does not answer: process {first.pid} has waited for it for {waited}",
            hint=_MAY_BE_FROZEN,
        )
    return DiskError(
        f"a disk did not answer within {count_of(round(patience.longest_s), 'second')}",
        hint=_MAY_BE_FROZEN,
    )


def find_hung_mounts(answers_within_s: float = _MOUNT_ANSWERS_S) -> list[Mount]:
    """Find the filesystems that don't say within a moment how large they are."""
    # Who asked before and still waits need not be joined by another.
    waiting = _find_asked(find_left())
    asked = [mount for mount in _list_shown() if mount.kind not in _UNASKED and mount not in waiting][:_MOUNTS_LIMIT]
    reading, writing = os.pipe()
    children: list[int] = []
    # Of those for which the system gives no process any more, nothing is known.
    with suppress(OSError):
        for number, mount in enumerate(asked):
            children.append(_ask_mount(mount, number, writing))
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        told = Counter(_read_numbers(pipe.fileno(), answers_within_s))
    for number, child in enumerate(children):
        if told[number] == _ANSWERED:
            _await_end(child)
            continue
        # On a machine with too much to do, a process may not have begun to ask, or not be back yet.
        if told[number] == _ASKED and is_waiting(child):
            waiting.append(asked[number])
        _kill(child)
    return waiting


def _find_asked(left: Mapping[str, Sequence[LeftLook]]) -> list[Mount]:
    """Find the filesystems that processes of earlier calls have asked, and still wait for."""
    return [mount for mount in _list_shown() if mount_name(mount.number) in left]


def _list_shown() -> Collection[Mount]:
    """List the filesystems without those that another one was mounted over."""
    return {mount.point: mount for mount in list_mounts()}.values()


def _ask_mount(mount: Mount, number: int, writing: int) -> int:
    """Start a process that asks a filesystem for its size, and writes its number before, and once that has answered."""
    child = os.fork()
    if child:
        return child
    try:
        take_name(mount_name(mount.number))
        _let_go_of_all_but(writing)
        os.write(writing, bytes([number]))
        # An error is an answer, too.
        with suppress(OSError):
            os.statvfs(mount.point)
        os.write(writing, bytes([number]))
    finally:
        os._exit(0)


def _read_numbers(descriptor: int, within_s: float) -> Iterator[int]:
    """Read until all processes have ended, or none has written for a moment; for two moments at most."""
    latest = time.monotonic() + 2 * within_s
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    # Where one writes late, the machine has much to do, and the others are late, too.
    while (left_s := latest - time.monotonic()) > 0 and poll.poll(min(left_s, within_s) * 1000):
        numbers = os.read(descriptor, _MOUNTS_LIMIT)
        if not numbers:
            return
        yield from numbers
