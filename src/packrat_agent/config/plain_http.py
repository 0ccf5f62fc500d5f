"""Tells whether the server is reached by plain http, by which anybody on the way can answer in its place."""

import ipaddress
import re
from urllib.parse import urlsplit

from packrat_agent.config.settings import PackratSettings
from packrat_core.cinp.route import bypasses


def warn_of_plain_http(packrat: PackratSettings) -> str | None:
    """Say what others on the way to the server can do; None if it is reached by https, or on this machine."""
    url = urlsplit(packrat.url)
    host = url.hostname or ""
    proxy = packrat.proxy if packrat.proxy is not None and not bypasses(host, packrat.no_proxy) else None
    # Behind a proxy elsewhere, "localhost" is the proxy's own machine.
    stays_here = _is_loopback(host) and (proxy is None or _is_loopback(urlsplit(proxy).hostname or ""))
    if url.scheme != "http" or stays_here:
        return None
    secret = ", and reads the psk" if packrat.psk else ""
    return (
        f"the agent reaches {packrat.url} unencrypted: anyone on the way decides what this mirror publishes and "
        f"signs{secret}; set host to https://… where the server offers it"
    )


def _is_loopback(host: str) -> bool:
    if re.fullmatch(r"localhost\.?|127\.[0-9.]+", host, re.IGNORECASE):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
