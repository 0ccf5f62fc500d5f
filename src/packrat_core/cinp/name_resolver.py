"""Resolves names of hosts in threads that nobody waits for.

getaddrinfo(3) can't be stopped, and takes minutes where no name server answers: each is asked several times for each
domain to search. The event loop's own threads are few, and each is waited for before a process ends.

Source: resolv.conf(5), `timeout`, `attempts` and `search`.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult


class NameResolver(AbstractResolver):
    """Resolves names.

    Attributes:
        waiting: The names that no name server has answered for yet, also those that nobody wants any more.
    """

    def __init__(self) -> None:
        self.waiting: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Give all addresses of a host.

        Raises:
            OSError: It has none, or that can't be found out.
        """
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def settle(result: list[ResolveResult] | BaseException) -> None:
            self.waiting.remove(host)
            if found.done():
                return
            if isinstance(result, BaseException):
                found.set_exception(result)
            else:
                found.set_result(result)

        def work() -> None:
            result: list[ResolveResult] | BaseException
            try:
                result = _resolve(host, port, family)
            except Exception as error:
                result = error
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(partial(settle, result))

        # As a daemon: at the end of the process it is not waited for.
        threading.Thread(target=work, name="resolve", daemon=True).start()
        # Only now, since the process may get no more threads.
        self.waiting.append(host)
        return await found

    async def close(self) -> None:
        """Do nothing: what is under way ends by itself."""


def _resolve(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    """Resolve a name, however long that takes.

    Raises: OSError
    """
    results = []
    for kind, _, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
    ):
        text = str(address[0])
        if len(address) == 4 and address[3]:
            # With the interface that a link-local address is of.
            text = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        results.append(
            ResolveResult(hostname=host, host=text, port=int(address[1]), family=kind, proto=protocol, flags=flags)
        )
    return results
