"""Lets Ctrl-C interrupt this process only between two steps, where it would otherwise leave a lock behind.

    with uninterrupted() as interrupt:
        work()       # goes on to its end
        interrupt()  # raises KeyboardInterrupt if somebody has pressed Ctrl-C

Python raises KeyboardInterrupt between any two instructions of the main thread, also the moment after a lock of
`concurrent.futures` was taken. Then a thread waits for that lock for ever, and this process for the thread.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[Callable[[], None]]:
    """Put Ctrl-C off; yields a function that raises KeyboardInterrupt if it was pressed since.

    Raises:
        KeyboardInterrupt: At the end of the context, if it was pressed since the last call of that function.
    """
    came: list[int] = []

    def interrupt() -> None:
        if came:
            came.clear()
            raise KeyboardInterrupt

    # Only the main thread is interrupted; where Ctrl-C is ignored, or handled in another way, it stays so.
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt()
