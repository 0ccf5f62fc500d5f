"""Wakes the coroutines that wait for a change, from any thread of the process."""

import asyncio


class ChangeNotifier:
    """Wakes whoever waits for a change."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self.closed = False
        """The server is about to stop: nobody waits any longer."""

    def notify(self) -> None:
        """Wake all who wait; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Wake all who wait, and let nobody wait from now on."""
        self.closed = True
        self.notify()

    def next_change(self) -> asyncio.Future[None]:
        """Give a future that the next change completes.

        Take it before looking at the database: a change between the look and the wait would be missed otherwise.
        """
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    def _wake(self) -> None:
        for future in list(self._waiting):
            if not future.done():
                future.set_result(None)
