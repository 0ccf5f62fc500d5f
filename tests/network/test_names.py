"""How the name of the server is resolved, in a network of its own with name servers that say nothing."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from support.mirror_conf import write_mirror_conf
from support.warm_agent import AGENT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network")

# Two name servers that take each question and never answer.
_SILENT = """
import socket, sys
servers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
for number, server in enumerate(servers):
    server.bind((f"127.0.0.{number + 3}", 53))
print("ready", flush=True)
sys.stdin.read()
"""
_IN_ITS_OWN_NETWORK = """
ip link set lo up
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
coproc /usr/bin/python3 -c "$2"
read -r ready <&"${COPROC[0]}"
shift 2
"$@"
# This shell has to stay: it holds what the name servers read from.
exit "$?"
"""


def _run(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a network without a way out."""
    (place / "resolv.conf").write_text("nameserver 127.0.0.3\nnameserver 127.0.0.4\nsearch a.example b.example\n")
    (place / "nsswitch.conf").write_text("hosts: files dns\n")
    entered = ("unshare", "--mount", "--net", "bash", "-c", _IN_ITS_OWN_NETWORK, "bash", str(place), _SILENT)
    return subprocess.run([*entered, *command], capture_output=True, text=True, timeout=200, check=False)


def test_name_servers_that_do_not_answer_are_reported_and_keep_no_process_from_its_end(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    config = write_mirror_conf(tmp_path, "http://packrat.example.com:8888", packrat="connect_timeout: 2\n")
    began = time.monotonic()
    done = _run(tmp_path, *AGENT, "--config", str(config), "sync")
    # The C library gives up after 40 seconds.
    assert time.monotonic() - began < 20
    assert done.returncode == 3, done.stderr
    told = (
        "http://packrat.example.com:8888 can't be reached: the name packrat.example.com can't be resolved "
        "(no name server answers in time); check the name servers of this machine, check host in [packrat], "
        "or raise connect_timeout\n"
    )
    assert told in done.stderr
