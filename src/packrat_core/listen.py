"""Reads HOST:PORT as people write it.

Takes: text.
Gives: host and port.
Touches: nothing.
"""

import re

from packrat_core.errors import ConfigError

_LISTEN = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_.-]*):)?(?P<port>[0-9]{1,5})")


def parse_listen(text: str) -> tuple[str, int]:
    """Split `8080`, `:8080`, `127.0.0.1:8080`, `[::1]:8080`; without a host every address of this machine is meant.

    Raises: ConfigError
    """
    match = _LISTEN.fullmatch(text.strip())
    if match is None or int(match["port"]) > 65535:
        raise ConfigError(f"{text[:100]!r} is no HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    host = (match["host"] or "").strip("[]")
    return host or "0.0.0.0", int(match["port"])  # noqa: S104 asked for
