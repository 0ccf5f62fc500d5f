"""A file that becomes shorter while it is sent: the client is not given the next answer for the rest of it."""

import os

from structlog.testing import capture_logs

from support.broken_off import read_shortened
from support.site import Site

SIZE = 64 * 1024**2
"""More than the buffers on the way hold."""


def test_the_connection_ends_behind_a_file_that_becomes_shorter(site: Site) -> None:
    large = site.root / "large"
    large.touch()
    os.truncate(large, SIZE)
    with capture_logs() as logged:
        count = read_shortened("127.0.0.1", site.port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", large)
    assert count < SIZE
    assert [(line["event"], line["log_level"], line["path"]) for line in logged] == [
        ("broken-off", "warning", "/large")
    ]
    assert f"{large} has become shorter" in logged[0]["reason"]
    assert site.ask("/large").status == 200
