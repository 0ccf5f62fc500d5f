"""What a test does, leaves behind, or was killed in, does no harm to another one."""

import os
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.faked_clock import at_moment
from support.hung_disk import hung_disk, the_only_one
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


@pytest.mark.parametrize("body", [b"{}", b"YZ", bytes(16 * 1024 * 1024)], ids=["json", "letters", "no line"])
def test_a_relay_counts_a_request_that_comes_in_parts(body: bytes) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        relay_to(f"http://127.0.0.1:{server.getsockname()[1]}") as relay,
        socket.create_connection(("127.0.0.1", urlsplit(relay.url).port or 0)) as client,
    ):
        there, _ = server.accept()
        with there:
            for part in (b"LIST /a HTTP/1.1\r\n\r\n", body, b"GET /long", b"er HTTP/1.1\r\nHost: x\r\n\r\n"):
                sending = threading.Thread(target=client.sendall, args=(part,))
                sending.start()
                left = len(part)
                while left:
                    left -= len(there.recv(left))
                sending.join()
        assert relay.asked == ["LIST /a", "GET /longer"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_who_looks_at_all_disks_waits_for_the_end_of_a_hung_one(tmp_path: Path) -> None:
    def look() -> bool:
        with the_only_one():
            return os.path.ismount(tmp_path)

    with ThreadPoolExecutor(1) as pool:
        with hung_disk(tmp_path):
            is_mounted = pool.submit(look)
        assert is_mounted.result() is False


def test_who_waits_for_the_end_of_its_own_hung_disk_is_told() -> None:
    with the_only_one():
        with pytest.raises(AssertionError, match="has it already"), the_only_one():
            pass
        with pytest.raises(AssertionError, match="has it already"), the_only_one():
            pass
    with the_only_one():
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_any_user_may_wait_for_the_end_of_hung_disks() -> None:
    process = os.fork()
    if process == 0:
        try:
            os.setresuid(65534, 65534, 65534)
            with the_only_one():
                os._exit(0)
        finally:
            os._exit(1)
    with the_only_one():
        pass
    assert os.waitpid(process, 0)[1] == 0
