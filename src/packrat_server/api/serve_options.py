"""The options that the operator gives when the server is started."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from packrat_core.errors import ConfigError
from packrat_server.api.addresses import TrustedProxies

LOCAL = "127.0.0.1,::1"
_ORIGIN = re.compile(r"https?://[0-9A-Za-z.\-\[\]:]+")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options.

    Attributes:
        trusted_proxies: The reverse proxies whose X-Forwarded-For counts.
        access_log: The file for a line of each request; None for none.
        is_public: Whether reading needs no session, as on the original server.
        cors_origins: The origins of pages that may call the API from a browser; `*` for every one.
        metrics_from: The addresses that may read the metrics.
    """

    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    access_log: Path | None = None
    is_public: bool = False
    cors_origins: frozenset[str] = frozenset()
    metrics_from: TrustedProxies = field(default_factory=lambda: TrustedProxies(LOCAL))


def read_origins(origins: tuple[str, ...]) -> frozenset[str]:
    """Check the origins that a command line gives.

    Raises:
        ConfigError: One is neither `*` nor an origin.
    """
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"--cors-origin {origin!r} is not an origin",
                hint="write the scheme, host and port as a browser sends them, such as https://packages.example.com",
            )
    return frozenset(origins)
