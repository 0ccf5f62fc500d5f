"""systemd hears what we tell it: over a real datagram socket, at a path and in the abstract namespace."""

import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.watch import systemd as notify


@pytest.fixture(params=["path", "abstract"])
def heard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The other end."""
    with (
        tempfile.TemporaryDirectory(prefix="pn-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        path, abstract = str(Path(directory) / "notify"), f"packrat-{os.getpid()}"
        listener.bind(path if request.param == "path" else "\0" + abstract)
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", path if request.param == "path" else "@" + abstract)
        yield listener


def test_each_word_arrives(heard: socket.socket) -> None:
    for tell, line in (
        (notify.ready, b"READY=1"),
        (notify.stopping, b"STOPPING=1"),
        (notify.watchdog, b"WATCHDOG=1"),
    ):
        assert tell() is True
        assert heard.recv(4096) == line
    assert notify.ready("following\nREADY=0 \x00") is True
    assert heard.recv(4096).split(b"\n")[0] == b"READY=1"
    assert notify.status("checking 3\nSTOPPING=1") is True
    assert heard.recv(4096) == b"STATUS=checking 3 STOPPING=1"
    assert notify.status("") is False


def test_a_start_that_takes_longer_says_how_long_to_wait_for_the_next_word(heard: socket.socket) -> None:
    assert notify.still_starting(120.0) is True
    assert heard.recv(4096) == b"EXTEND_TIMEOUT_USEC=120000000"


def test_a_reload_says_when_it_began(heard: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    assert notify.reloading() is True
    told = heard.recv(4096).decode()
    match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", told)
    assert match
    assert before <= int(match[1]) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all", "@packrat-nobody-listens", "/" + "x" * 300])
def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify.ready() is False
    assert notify.watchdog() is False


def test_the_watchdog_is_told_twice_as_often_as_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "120000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert notify.watchdog_interval_s() == 60
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert notify.watchdog_interval_s() == 60
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.watchdog_interval_s() is None
    monkeypatch.delenv("WATCHDOG_PID")
    for nonsense in ("", "0", "soon"):
        monkeypatch.setenv("WATCHDOG_USEC", nonsense)
        assert notify.watchdog_interval_s() is None
