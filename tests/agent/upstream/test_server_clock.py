"""The server's date: that of its answer, or none, whatever stands there."""

import asyncio
from datetime import UTC, datetime

import pytest

from packrat_agent.config.settings import PackratSettings
from packrat_agent.upstream.server_clock import read_server_date
from support.replay import replaying


def read(date: str) -> datetime | None:
    async def ask() -> datetime | None:
        answer = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()
        async with replaying(lambda _: answer) as url:
            return await read_server_date(PackratSettings(url, "lab"))

    return asyncio.run(ask())


def test_a_date_is_read() -> None:
    assert read("Fri, 27 Nov 2026 17:00:00 GMT") == datetime(2026, 11, 27, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "date",
    [
        *("", "x", "Thu", "Thu, 01", "Mon, 16 Nov 2009 :: GMT", "1 2 3 4 5 6 7"),
        *("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 +99999999999999999999"),
        "Thu, 01 Jan 2026 00:00:00 +9999",
    ],
)
def test_a_malformed_date_reads_as_none(date: str) -> None:
    assert read(date) is None
