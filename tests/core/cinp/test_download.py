"""A download that hardly comes has stalled, unless the limit of all downloads explains it."""

import asyncio

import aiohttp
import pytest

from packrat_core.cinp.download import Download
from packrat_core.cinp.rate_limit import RateLimit
from packrat_core.errors import ServerUnavailable

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


async def read_drops(bytes_per_s: int | None, stall_s: float, enough: int) -> int:
    """Read from a server that sends 40 bytes a second, until there is enough; gives how many bytes came."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        while not writer.is_closing():
            writer.write(b"xx")
            await asyncio.sleep(0.05)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    came = 0
    async with server, aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as response:
        download = Download(0, "the file", response, RateLimit(bytes_per_s), stall_s=stall_s)
        async for chunk in download.chunks():
            came += len(chunk)
            if came >= enough:
                break
    return came


def test_a_download_that_drips_has_stalled() -> None:
    with pytest.raises(ServerUnavailable, match="the file broke off"):
        asyncio.run(asyncio.wait_for(read_drops(None, 0.5, 1_000), 60))


def test_a_download_as_slow_as_the_limit_of_all_allows_goes_on() -> None:
    assert asyncio.run(asyncio.wait_for(read_drops(100, 1.5, 80), 60)) >= 80
