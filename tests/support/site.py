"""A directory that the agent's own web server serves, and requests to it that go out as they are written."""

import http.client
from dataclasses import dataclass
from pathlib import Path

DATA = bytes(range(256)) * 4
MTIME_S = 1_700_000_000
"""Content and age of the package that is there."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Site:
    """A served directory; requests go out as they are written here."""

    root: Path
    port: int

    def ask(self, target: str, verb: str = "GET", **headers: str) -> Answer:
        """`_` in a header's name stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(verb, target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            body = response.read()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
        finally:
            connection.close()
