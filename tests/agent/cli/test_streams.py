"""Standard streams that are closed, or that take nothing: the work is done, and the exit code tells of it alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from packrat_server.admin.new_server import init
from support.every_type import fill, mirror_of_all
from support.mirror_conf import write_mirror_conf

_CLOSED = ("2>&-", ">&- 2>&-", "<&- >&- 2>&-")


def code_of(redirections: str, *words: str) -> int:
    """Run a program by a shell that redirects its streams, and give its exit code."""
    command = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", *words]
    return subprocess.run(command, timeout=60, check=False).returncode


@pytest.mark.parametrize("closed", _CLOSED)
def test_a_sync_with_closed_streams_does_its_work(tmp_path: Path, closed: str) -> None:
    with mirror_of_all(tmp_path, None) as lab:
        fill(lab)
        assert code_of(closed, *lab.command("sync")[2:]) == 0
        assert code_of(closed, *lab.command("verify")[2:]) == 0
        assert "Package: first" in lab.packages()


def test_a_sync_whose_stderr_takes_nothing_does_its_work(tmp_path: Path) -> None:
    with mirror_of_all(tmp_path, None) as lab:
        fill(lab)
        assert code_of("2>/dev/full >/dev/null", *lab.command("sync")[2:]) == 0
        # It says on stderr what comes next.
        assert code_of("2>/dev/full >/dev/null", *lab.command("site", "nginx")[2:]) == 0


@pytest.mark.parametrize("redirections", ["2>/dev/full", *_CLOSED])
def test_an_error_keeps_its_exit_code(tmp_path: Path, redirections: str) -> None:
    path = write_mirror_conf(tmp_path)
    path.write_text("[packrat]\n")
    assert code_of(redirections, "packrat_agent.cli", "--config", str(path), "config") == 2
    assert code_of(redirections, "packrat_agent.cli", "no-such-command") == 2


def test_no_file_gets_the_number_of_a_closed_stream_here_or_in_a_program_that_is_started() -> None:
    look = (
        "import os, sys; sys.exit(os.open('/etc/hostname', os.O_RDONLY) < 3 or"
        " {os.readlink(f'/proc/self/fd/{n}') for n in range(3)} != {'/dev/null'})"
    )
    code = (
        "import subprocess, sys; from packrat_core.cli.standard_streams import open_closed_streams as open_them;"
        "open_them();"
        f"look = {look!r}; subprocess.check_call([sys.executable, '-c', look]); exec(look)"
    )
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("gone", ["full", "pipe"])
def test_only_what_stderr_refuses_is_lost(tmp_path: Path, gone: str) -> None:
    """A dry run says on stderr that it is one."""
    init(tmp_path / "server")
    words = ("tag-type", "set", "qa", "--dry-run", "--data", str(tmp_path / "server"))
    command = [sys.executable, "-m", "packrat_server", *words]
    reading, writing = os.pipe()
    os.close(reading)
    with Path("/dev/full").open("w") if gone == "full" else os.fdopen(writing, "w") as stderr:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.count("qa made")) == (0, 1)


@pytest.mark.parametrize("words", [("config",), ("--help",), ("config", "--help"), ("check", "--json")])
def test_a_command_whose_answer_nobody_reads_ends_as_if_by_sigpipe(tmp_path: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "packrat_agent", "--config", str(write_mirror_conf(tmp_path)), *words]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_another_pipe_that_breaks_is_not_taken_for_stdout() -> None:
    code = (
        "import click; from packrat_core.cli.command_group import ErrorTellingGroup;"
        "group = ErrorTellingGroup('program');"
        "group.command('break')(lambda: (_ for _ in ()).throw(BrokenPipeError(32, 'another pipe'))); group(['break'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "another pipe" in done.stderr
