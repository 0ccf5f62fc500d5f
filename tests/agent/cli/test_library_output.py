"""What C libraries print on stderr becomes lines of the log, whatever and however much they print."""

import os
import re
import subprocess
import sys

import pytest

_START = """
import os, sys
from packrat_agent.cli.library_output import log_library_output
from packrat_core.log import set_up_log
log_library_output()
set_up_log()
"""


def run(code: str, **environment: str) -> str:
    python = [sys.executable, "-c", _START + code]
    done = subprocess.run(
        python, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == ""
    return done.stderr


def test_output_of_createrepo_c_and_glib_is_a_warning() -> None:
    said = run("import createrepo_c\ntry: createrepo_c.package_from_rpm('/etc/passwd')\nexcept Exception: pass\n")
    assert re.fullmatch(r"\S+Z WARNING library text=.*rpmReadPackageFile.*\n", said)


def test_a_machine_without_rpm_is_no_reason_to_warn() -> None:
    missing = "/nonexistent"
    code = f"import createrepo_c\nos.write(2, b'error: Unable to open {missing}/macros for reading: Denied.')"
    said = run(code, RPM_CONFIGDIR=missing)
    assert said.count("\n") == said.count("/macros for reading: Denied") == 1, said


@pytest.mark.parametrize("text", [r"error: \x1b[31m\xff\n", "no end", r"\n \nerror\n"])
def test_each_line_is_one_that_can_be_shown(text: str) -> None:
    lines = run(f"os.write(2, b'{text}')").splitlines()
    assert len(lines) == 1
    assert "WARNING library text=" in lines[0]
    assert lines[0].isprintable()


def test_more_than_a_pipe_holds_stops_nobody() -> None:
    """While the library writes, it holds the interpreter's lock, so nobody reads the pipe."""
    code = "import ctypes\nlibc = ctypes.PyDLL(None)\nfor _ in range(100): libc.write(2, b'x' * 65536 + b'\\n', 65537)"
    lines = run(code).splitlines()
    assert lines
    assert max(map(len, lines)) < 600


def test_output_of_the_program_itself_goes_where_it_went_before() -> None:
    assert run("print('of our own', file=sys.stderr)") == "of our own\n"
