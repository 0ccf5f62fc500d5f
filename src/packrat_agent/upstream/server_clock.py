"""Reads the date that the packrat server, or what stands in front of it, sends with its answers."""

from datetime import datetime

from packrat_agent.config.settings import PackratSettings
from packrat_core.cinp.server_date import read_date
from packrat_core.cinp.session import CinpSession, Timeouts
from packrat_core.cinp.transport import HttpRequest, Transport


async def read_server_date(packrat: PackratSettings) -> datetime | None:
    """Ask the server for anything, and read the date of the answer; None if it has none.

    Raises:
        ServerUnavailable: The server can't be reached.
    """
    transport = Transport(packrat.url, packrat.proxy, packrat.no_proxy, packrat.ca_file)
    timeouts = Timeouts(connect_s=packrat.connect_timeout_s, stall_s=packrat.stall_timeout_s)
    until = CinpSession(transport, timeouts).until(timeouts.stall_s, timeouts.total_s)
    async with transport, transport.send(HttpRequest("GET", "/", {}, None, until, repeatable=True)) as response:
        return read_date(response.headers)
