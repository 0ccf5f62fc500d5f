"""Installs the systemd unit where no package has, adapts it to other paths, and runs the agent as its user."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import resources
from itertools import pairwise
from pathlib import Path

from packrat_agent import DEFAULT_CONFIG
from packrat_agent.config.settings import Config
from packrat_agent.setup.account import Account, find_account
from packrat_agent.setup.answers import ROOT_DIR, STATE_DIR, USER
from packrat_agent.setup.commands import has_systemd, read_unit_setting, run_command
from packrat_agent.setup.owner import find_owner
from packrat_agent.setup.sandbox import HOMES, list_places
from packrat_agent.setup.unit_text import quote_word
from packrat_core.errors import ConfigError, PackratError
from packrat_core.fs.atomic import write_whole
from packrat_core.fs.disk_errors import as_disk_error

UNIT = "packrat-agent.service"
BY_INIT = "PACKRAT_AGENT_BY_INIT"
"""The variable that is set for the first sync: what comes next, `init` says."""
_INSTALLED_IN = "/opt/packrat-agent/bin/packrat-agent"
_OWN_UNITS = Path("/etc/systemd/system")
_UNIT_DIRECTORIES = (_OWN_UNITS, *map(Path, ("/usr/local/lib/systemd/system", "/usr/lib/systemd/system")))
_EXEC_START = re.compile(r"^[ \t]*ExecStart[ \t]*=[ \t]*(\S.*)$", re.MULTILINE)
_OPTIONS = "PACKRAT_AGENT_OPTIONS"
_OPTIONS_FILE = Path("/etc/default/packrat-agent")
_SET_OPTIONS = re.compile(rf"^\s*{_OPTIONS}=(.*)$", re.MULTILINE)
DROP_IN = _OWN_UNITS / f"{UNIT}.d" / "mirror.conf"


def program() -> tuple[str, ...]:
    """Give the command line, without arguments, by which others start this program."""
    script = Path(sys.executable).with_name("packrat-agent")
    return (str(script),) if script.is_file() else (sys.executable, "-P", "-m", "packrat_agent")


def check_program(account: Account) -> None:
    """Make sure that the agent's user may run this program.

    Raises:
        ConfigError: It lies where that user may not read it.
    """
    needed = (Path(sys.executable), Path(__file__))

    def unreadable() -> str | None:
        return next((str(path) for path in needed if not os.access(path, os.R_OK)), None)

    found = account.do(unreadable)
    if found is not None:
        raise ConfigError(
            f"user {account.name} may not read this program ({found})",
            hint="install it for all users: the .deb package, `pipx install --global`, or an environment in /opt",
        )


def find_unit() -> Path | None:
    """Find the agent's unit, as it was installed by a package or by hand."""
    return next(_list_units(), None)


def describe_hidden_unit() -> str | None:
    """Describe a unit by hand that hides the package's and starts another program; None where there is none.

    Raises:
        DiskError: A unit or a drop-in can't be read.
    """
    programs = [(unit, _read_program(unit)) for unit in _list_units()]
    for unit, program in programs[1:]:
        own, in_force = programs[0]
        if program != in_force:
            return f"{own} starts {in_force}, and hides {unit}, which starts {program}"
    return None


def _read_program(unit: Path) -> str:
    """Read which program a unit starts, drop-ins included; '' where it says none.

    Raises:
        DiskError: The unit or a drop-in can't be read.
    """
    return next((command.split()[0].lstrip("@-:+!") for command in reversed(_list_commands(unit))), "")


def _list_units() -> Iterator[Path]:
    """List the agent's units; systemd takes the first."""
    return (path for directory in _UNIT_DIRECTORIES if (path := directory / UNIT).is_file())


def has_own_unit(config_path: Path) -> bool:
    """Tell whether systemd runs this machine, and has the agent's unit for this mirror.

    Raises:
        DiskError: The unit or a drop-in can't be read.
    """
    return has_systemd() and find_unit() is not None and find_other_mirror(config_path) is None


def find_other_mirror(config_path: Path) -> Path | None:
    """Find the mirror.conf of another mirror that the unit runs; None where it runs this one, or there is none.

    Args:
        config_path: mirror.conf of this mirror.

    Raises:
        DiskError: The unit or a drop-in can't be read.
    """
    unit = find_unit()
    if unit is None:
        return None
    named = next((_read_config_option(command) for command in reversed(_list_commands(unit))), DEFAULT_CONFIG)
    is_this = os.path.realpath(named) == os.path.realpath(config_path)
    return named if not is_this and named.is_file() else None


def _list_commands(unit: Path) -> list[str]:
    """List the lines ExecStart of a unit and its drop-ins, in systemd's order: the last one counts.

    Raises:
        DiskError: The unit or a drop-in can't be read.
    """
    files = (unit, *sorted(DROP_IN.parent.glob("*.conf")))
    return [command for path in files for command in _EXEC_START.findall(_read_text(path).replace("\\\n", " "))]


def _read_config_option(command: str) -> Path:
    """Read which mirror.conf a line ExecStart names; as for the program, the last one counts.

    Raises:
        DiskError: The file of options can't be read.
    """
    named = DEFAULT_CONFIG
    with suppress(ValueError):
        words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(command)]
        if (at := f"${_OPTIONS}") in words:
            words[words.index(at) : words.index(at) + 1] = _read_options()
        for option, value in pairwise(words):
            if option in ("-c", "--config"):
                named = Path(value)
            elif option.startswith("--config="):
                named = Path(option.removeprefix("--config="))
    return named


def _read_options() -> list[str]:
    """Read the options that the unit of the package takes from a file, as systemd takes them apart.

    Raises:
        DiskError: It can't be read.
        ValueError: Its quotes are wrong.
    """
    # Others than root may have no right to it.
    if not os.access(_OPTIONS_FILE, os.R_OK):
        return []
    found = _SET_OPTIONS.findall(_read_text(_OPTIONS_FILE))
    return " ".join(shlex.split(found[-1])).split() if found else []


def _read_text(path: Path) -> str:
    with as_disk_error("read", path):
        return path.read_text(encoding="utf-8", errors="surrogateescape")


def install_unit() -> None:
    """Write the unit for this program, as the agent's package has it.

    Raises:
        DiskError: It can't be written.
    """
    text = (resources.files(__package__) / UNIT).read_text(encoding="utf-8")
    write_whole(_OWN_UNITS / UNIT, text.replace(_INSTALLED_IN, shlex.join(program())).encode())


def describe_differences(config: Config, user: str, group: str) -> str:
    """Write the drop-in that the unit needs for a mirror with other paths or another user than its own; '' for none.

    Args:
        config: The configuration of the mirror.
        user: The user that the agent runs as.
        group: The user's group.
    """
    root, state = config.mirror.root_dir, config.mirror.state_db.parent
    further = [place.path for place in list_places(config) if place.is_written][2:]
    elsewhere = [path for path in further if not any(path.is_relative_to(own) for own in (root, state))]
    is_in_home = any(place.path.is_relative_to(home) for place in list_places(config) for home in HOMES)
    usual = (ROOT_DIR, STATE_DIR, USER, DEFAULT_CONFIG)
    if (root, state, user, config.source) == usual and not elsewhere and not is_in_home:
        return ""
    # The dash: the agent tells better than systemd what is missing.
    writable = " ".join(quote_word(path) for path in (str(root), str(state), *(f"-{path}" for path in elsewhere)))
    unit = [f"RequiresMountsFor={quote_word(str(root))}"]
    # Without the first line, the unit's own directory would have to be there, too.
    service = [f"User={user}", f"Group={group}", "ReadWritePaths=", f"ReadWritePaths={writable}"]
    if is_in_home:
        service.append("ProtectHome=no")
    if config.source != DEFAULT_CONFIG:
        words = [quote_word(word.replace("$", "$$")) for word in (*program(), "--config", str(config.source))]
        # As the unit has it: the options of /etc/default, each a word; nothing where there are none.
        command = " ".join([*words, f"${_OPTIONS}", "run"])
        service += ["ExecStart=", f"ExecStart={command}"]
    return "\n".join(["[Unit]", *unit, "", "[Service]", *service, ""])


def has_drop_in(text: str) -> bool:
    """Tell whether the drop-in of the unit says what it should."""
    try:
        return DROP_IN.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def write_drop_in(text: str) -> None:
    """Write the drop-in of the unit, and have a running service follow it.

    Raises:
        ConfigError: The service does not start with it.
        DiskError: It can't be written.
    """
    write_whole(DROP_IN, text.encode())
    _systemctl("try-restart")


def is_active() -> bool:
    """Tell whether the service runs."""
    return _agrees("is-active")


def is_enabled() -> bool:
    """Tell whether the service starts with the machine."""
    return _agrees("is-enabled")


def is_running() -> bool:
    """Tell whether the service runs, and starts again with the machine."""
    return is_active() and is_enabled()


def _agrees(question: str) -> bool:
    try:
        run_command("systemctl", question, "--quiet", UNIT)
    except ConfigError:
        return False
    return True


def find_agent_account(config: Config) -> Account | None:
    """Find the user that the agent runs as: the one that its unit names, else the owner of its state; None for none.

    Args:
        config: Names the places.

    Raises:
        ConfigError: No unit names the user, and it is not clear whose mirror this is.
    """
    if has_own_unit(config.source) and (named := read_unit_setting(UNIT, "User")):
        return find_account(named)
    return find_owner(config)


def start_service() -> None:
    """Start the service, now and with the machine.

    Raises:
        ConfigError: It does not start.
    """
    _systemctl("enable", "--now")


def _systemctl(*words: str) -> None:
    """Have systemd read the unit again, and do something with it."""
    try:
        run_command("systemctl", "daemon-reload")
        run_command("systemctl", *words, UNIT)
    except ConfigError as error:
        hint = f"`journalctl -u {UNIT} -e` says why; fix it, and run `packrat-agent init` again"
        raise ConfigError(error.message, hint=hint) from None


def run_first_sync(account: Account, config_path: Path) -> None:
    """Run `packrat-agent sync` as the agent's user; what it prints is for the operator.

    Raises:
        PackratError: It ended with an error, and this one has its exit code; having left files out is not an error.
    """
    command = [*program(), "--config", str(config_path), "sync"]
    if os.geteuid() == account.uid:
        done = subprocess.run(command, check=False, env={**os.environ, BY_INIT: "1"})
    else:
        groups = os.getgrouplist(account.name, account.gid)
        done = subprocess.run(
            command,
            check=False,
            user=account.uid,
            group=account.gid,
            extra_groups=groups,
            cwd="/",
            env={**account.environment, **_terminal(), BY_INIT: "1"},
        )
    if done.returncode not in (0, 12):
        kinds = (kind for kind in PackratError.__subclasses__() if kind.exit_code == done.returncode)
        raise next(kinds, PackratError)(
            f"the first sync ended with exit code {done.returncode}, see above",
            hint="fix what it names, and run `packrat-agent init` again: it goes on from here",
        )


def _terminal() -> dict[str, str]:
    return {name: os.environ[name] for name in ("TERM", "NO_COLOR") if name in os.environ}
