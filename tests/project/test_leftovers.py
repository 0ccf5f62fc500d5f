"""What a test leaves behind, or one that was killed, does no harm to the next."""

import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.faked_clock import at_moment
from support.relay import relay_to

SHARED = Path("/dev/shm")
KILLED_BEFORE = """
echo $$
for name in sem.faketime_sem faketime_shm; do head -c 32 /dev/zero >"$0/${name}_$$"; done
exec env "$@" date +%Y
"""


def test_a_program_with_another_clock_that_was_killed_does_not_stop_one_with_its_number() -> None:
    clock = [f"{name}={value}" for name, value in at_moment("@2031-01-01 00:00:00").items()]
    command = ["sh", "-c", KILLED_BEFORE, str(SHARED), *clock]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    number, _, year = done.stdout.partition("\n")
    for left in SHARED.glob(f"*faketime_*_{number}"):
        left.unlink()
    assert (done.returncode, year) == (0, "2031\n"), done.stderr


def test_nobody_listens_any_more_where_a_relay_was() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with relay_to(f"http://127.0.0.1:{server.getsockname()[1]}") as relay:
            port = urlsplit(relay.url).port
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port or 0))


def test_a_relay_counts_a_request_that_comes_in_parts() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        relay_to(f"http://127.0.0.1:{server.getsockname()[1]}") as relay,
        socket.create_connection(("127.0.0.1", urlsplit(relay.url).port or 0)) as client,
    ):
        there, _ = server.accept()
        with there:
            for part in (b"LIST /a HTTP/1.1\r\n\r\n{}GET /long", b"er HTTP/1.1\r\nHost: x\r\n\r\n"):
                client.sendall(part)
                got = b""
                while len(got) < len(part):
                    got += there.recv(len(part))
        assert relay.asked == ["LIST /a", "GET /longer"]
