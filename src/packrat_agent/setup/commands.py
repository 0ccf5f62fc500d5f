"""Runs the programs of the system that set things up: useradd, systemctl, a web server's own."""

import os
import shutil
import subprocess
from pathlib import Path

from packrat_core.bounded_run import run_program
from packrat_core.errors import ConfigError

_TIMEOUT_S = 120
_SHOWN_LINES = 4
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(name: str) -> str | None:
    """Find a program, also one that only root has in its PATH."""
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)


def run_command(*command: str) -> str:
    """Run a program to its end, and return what it printed.

    Raises:
        ConfigError: It is not there, takes too long, or fails; with the last of what it said.
    """
    program = find_program(command[0])
    if program is None:
        raise ConfigError(f"{command[0]} is not installed", hint="install it, and run `packrat-agent init` again")
    shown = " ".join(command)
    try:
        ending = run_program([program, *command[1:]], os.environ, _TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"`{shown}` did not end within {_TIMEOUT_S} seconds", hint="run it by hand to see what it waits for"
        ) from None
    if ending.code != 0:
        last = " / ".join(ending.printed.strip().splitlines()[-_SHOWN_LINES:])
        how = (
            f"was ended after it had printed {ending.overrun} bytes"
            if ending.overrun
            else f"ended with exit code {ending.code}"
        )
        raise ConfigError(
            f"`{shown}` {how}: {last or 'it said nothing'}",
            hint="run it by hand, fix what it says, and repeat this command",
        )
    return ending.printed


def has_systemd() -> bool:
    """Tell whether systemd runs this machine.

    Source: sd_booted(3).
    """
    return Path("/run/systemd/system").is_dir()


def read_unit_setting(unit: str, name: str) -> str:
    """Read a setting of a unit as systemd has it in force, drop-ins included; '' where it says none."""
    try:
        return run_command("systemctl", "show", "--property", name, "--value", unit).strip()
    except ConfigError:
        return ""
