"""Opens a session with the server that the configuration names, the way that it says.

Takes: the configuration.
Gives: a Packrat, for as long as the context lasts.
Touches: network.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from packrat_agent.config.settings import Config
from packrat_agent.upstream.client import Packrat
from packrat_core.cinp.client import CinpClient, Timeouts


@asynccontextmanager
async def connected(config: Config) -> AsyncIterator[Packrat]:
    """Hold a session with the server of the configuration.

    Raises: ServerUnavailable, ServerRefused (name or psk), ServerBroken (another API), ConfigError (ca_file).
    """
    packrat = config.packrat
    client = CinpClient(
        packrat.url,
        proxy=packrat.proxy,
        no_proxy=packrat.no_proxy,
        ca_file=packrat.ca_file,
        timeouts=Timeouts(connect_s=packrat.connect_timeout_s, stall_s=packrat.stall_timeout_s),
        download_bytes_per_s=config.mirror.download_bytes_per_s,
        max_file_bytes=config.mirror.max_file_bytes,
    )
    async with client:
        server = Packrat(client, packrat.name, packrat.psk)
        await server.open()
        yield server
