"""Opens a session with the configured server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from packrat_agent.config.settings import Config
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.login import LoginState
from packrat_core.cinp.client import CinpClient, DownloadLimits
from packrat_core.cinp.failures import MIRROR_CONF, SettingNames
from packrat_core.cinp.session import Timeouts


@asynccontextmanager
async def connected(
    config: Config, login: LoginState | None = None, names: SettingNames = MIRROR_CONF
) -> AsyncIterator[Packrat]:
    """Open a session with the configured server, and close it at the end.

    Args:
        config: The configuration.
        login: State of the login from earlier connections; None to start afresh.
        names: What errors call the settings.

    Raises:
        ServerUnavailable: The server can't be reached.
        ServerRefused: It refuses the name or the psk.
        ServerBroken: It has another API.
        ConfigError: `ca_file` can't be used.
    """
    packrat = config.packrat
    client = CinpClient(
        packrat.url,
        proxy=packrat.proxy,
        no_proxy=packrat.no_proxy,
        ca_file=packrat.ca_file,
        timeouts=Timeouts(connect_s=packrat.connect_timeout_s, stall_s=packrat.stall_timeout_s),
        downloads=DownloadLimits(config.mirror.download_bytes_per_s, config.mirror.max_file_bytes),
        names=names,
    )
    async with client:
        server = Packrat(client, packrat.name, packrat.psk, login, records_limit=config.mirror.max_records)
        await server.open()
        yield server
