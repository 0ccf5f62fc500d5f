"""The demo as a newcomer plays it: proved by every client, started again, ended by Ctrl-C, hindered."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from support.apt_packages import read_packages
from support.stage import DEADLINE_S

_COMMAND = [sys.executable, "-m", "packrat_agent.cli", "demo"]


def play(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*_COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S * 4,
        check=False,
        cwd="/",
        env={**os.environ, **environment},
    )


def processes_that_name(text: str) -> list[str]:
    """The command lines of all processes that have a text in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if text in words:
            found.append(words)
    return found


def until_ended(directory: Path) -> None:
    """Wait for the end of all that was started; what was told to end may take a moment to go."""
    until = time.monotonic() + DEADLINE_S
    while left := processes_that_name(str(directory)):
        assert time.monotonic() < until, left
        threading.Event().wait(0.02)


def test_each_type_is_proved_by_its_clients_and_a_second_start_works(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    arguments = ("--once", "--directory", str(directory), "--listen", "127.0.0.1:0")
    first = play(*arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    proved = re.findall(r"^proved   (\w+): ([\w-]+) ", first.stdout, re.MULTILINE)
    assert proved == [
        ("apt", "apt-get"),
        ("yum", "dnf"),
        ("yum", "zypper"),
        ("pypi", "pip"),
        ("docker", "skopeo"),
        ("json", "gpgv"),
    ]
    assert "no faults" in first.stdout
    assert "left out" not in first.stdout
    second = play(*arguments)
    assert second.returncode == 0, second.stdout + second.stderr
    assert " 0 package files uploaded" in second.stdout
    until_ended(directory)


def test_the_demo_shows_a_package_arrive_and_leaves_nothing_running_after_ctrl_c(tmp_path: Path) -> None:
    directory = tmp_path / "my demo"
    process = subprocess.Popen(
        [*_COMMAND, "--directory", str(directory), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if line.startswith("Ctrl-C"):
            break
    upload = re.search(r"^  PACKRAT_PASSWORD=.* upload .*\n.*--tag dev .*$", told, re.MULTILINE)
    assert upload is not None, told
    uploaded = subprocess.run(
        upload[0], shell=True, cwd="/", capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert uploaded.returncode == 0, uploaded.stderr
    for line in process.stdout:
        if "published repo=apt-dev" in line:
            break
    packages = read_packages(directory / "www/apt-dev/dists/bookworm/main/binary-amd64")
    assert "Package: packrat-surprise" in packages
    config = ("--config", str(directory / "mirror.conf"))
    subprocess.run([*_COMMAND[:-1], *config, "sync"], check=True, capture_output=True, timeout=DEADLINE_S)
    for line in process.stdout:
        if " asked " in line:
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 0
    process.stdout.close()
    until_ended(directory)


def test_an_obstacle_is_named_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = f"127.0.0.1:{port}"
        # As on a machine without rpm, of which librpm would say something, too.
        used = play("--directory", str(tmp_path / "demo"), "--listen", listen, RPM_CONFIGDIR="/nonexistent")
    assert used.returncode == 2
    assert "rpmrc" not in used.stderr
    assert f"127.0.0.1:{port} can't be listened on: the port is in use" in used.stderr
    (tmp_path / "file").write_text("")
    closed = play("--directory", str(tmp_path / "file/demo"))
    assert closed.returncode == 2
    assert "can't be written" in closed.stderr
