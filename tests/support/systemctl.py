#!/usr/bin/python3
"""Stands in for systemctl in a root without systemd: starts a unit's ExecStart as the unit says.

It does what decides whether an agent can work there: drop-ins, User, Group, StateDirectory with owner and mode,
ReadWritePaths that must exist, UMask, no capabilities, no environment but that of Environment and EnvironmentFile,
Type=notify. It does not build the sandbox (such as ProtectSystem); services without a unit in UNITS go to their
init script.

Takes the command line of systemctl. It runs in a fresh root, with that root's Python.
"""

import os
import pwd
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

UNITS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))
OURS = ("packrat-agent", "packrat-server")
STATE = Path("/var/lib")
PIDS = Path("/run/stand-in")
_LISTS = ("Environment", "ExecStart", "ReadWritePaths")
"""Settings whose lines add up; one without a value starts over. Source: systemd.exec(5), systemd.service(5)."""
_USER, _NAMESPACE = 217, 226
"""Exit codes of systemd for a unit whose user, or whose ReadWritePaths, are not there. Source: systemd.exec(5)."""


def read_unit(path: Path) -> dict[str, str]:
    """Read the settings of all sections of a unit and its drop-ins together; the last line of a setting counts."""
    drop_ins = [file for top in UNITS for file in top.glob(f"{path.name}.d/*.conf")]
    unit: dict[str, str] = {}
    for file in (path, *sorted(drop_ins, key=lambda file: file.name)):
        lines = [line.strip() for line in file.read_text().splitlines()]
        for line in lines:
            name, is_setting, value = (part.strip() for part in line.partition("="))
            if is_setting and not line.startswith(("#", ";")):
                unit[name] = f"{unit.get(name, '')} {value}".strip() if name in _LISTS and value else value
    return unit


def find_unit(name: str) -> "Path | None":
    """Find a unit of ours; services of others have init scripts here."""
    paths = [directory / f"{name}.service" for directory in UNITS if name in OURS or directory == UNITS[0]]
    return next((path for path in paths if path.exists()), None)


def read_options(unit: dict[str, str]) -> dict[str, str]:
    """Read the variables of the unit's EnvironmentFile."""
    path = Path(unit.get("EnvironmentFile", "-/nonexistent").lstrip("-"))
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: " ".join(shlex.split(value)) for name, _, value in pairs}


def read_command(unit: dict[str, str]) -> list[str]:
    """Read ExecStart; a word that is a variable is replaced by the words that it has."""
    options = read_options(unit)
    words = shlex.split(unit["ExecStart"])
    return [part for word in words for part in _expand(word, options)]


def _expand(word: str, options: dict[str, str]) -> list[str]:
    """Put the words of a variable in its place; `$$` and `%%` stand for one of them."""
    if word.startswith("$") and not word.startswith("$$"):
        return shlex.split(options.get(word[1:], ""))
    return [word.replace("$$", "$").replace("%%", "%")]


def make_state_directory(unit: dict[str, str], user: str, group: str) -> None:
    """Make the StateDirectory, or give it to the unit's user, as systemd does."""
    name = unit.get("StateDirectory")
    if not name:
        return
    path = STATE / name
    path.mkdir(parents=True, exist_ok=True)
    if path.owner() != user or path.group() != group:
        for at in (path, *path.rglob("*")):
            shutil.chown(at, user, group)
    path.chmod(int(unit.get("StateDirectoryMode", "0755"), 8))


def start(name: str) -> int:
    """Start a unit; gives 0 once it is up, for Type=notify once it says so."""
    file = find_unit(name)
    assert file is not None
    unit = read_unit(file)
    user, group = unit.get("User", "root"), unit.get("Group", "root")
    try:
        home = pwd.getpwnam(user).pw_dir
    except KeyError:
        return _USER
    make_state_directory(unit, user, group)
    for path in shlex.split(unit.get("ReadWritePaths", "").replace("%%", "%")):
        if not path.startswith("-") and not Path(path).exists():
            return _NAMESPACE
    PIDS.mkdir(exist_ok=True)
    notify = PIDS / f"{name}.notify"
    notify.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(notify))
    notify.chmod(0o777)
    listener.settimeout(1)
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME": home, "USER": user}
    environment |= {"LOGNAME": user, "NOTIFY_SOCKET": str(notify)}
    environment |= dict(pair.split("=", 1) for pair in shlex.split(unit.get("Environment", "")))
    limit = ["setpriv", "--reuid", user, "--regid", group, "--init-groups"]
    limit += ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]
    with Path(f"/var/log/{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*limit, *read_command(unit)],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            umask=int(unit.get("UMask", "0022"), 8),
            start_new_session=True,
        )
    (PIDS / f"{name}.pid").write_text(str(process.pid))
    return _until_up(process, listener) if unit.get("Type") == "notify" else 0


def _until_up(process: "subprocess.Popen[bytes]", listener: socket.socket) -> int:
    while process.poll() is None:
        try:
            if b"READY=1" in listener.recv(4096).split(b"\n"):
                return 0
        except TimeoutError:
            continue
    return process.returncode


def running(name: str) -> int | None:
    """The process of a unit, while it runs."""
    path = PIDS / f"{name}.pid"
    if not path.exists():
        return None
    pid = int(path.read_text())
    # One that has ended and that nobody has waited for is still there, but runs nothing.
    return pid if Path(f"/proc/{pid}/exe").exists() else None


def stop(name: str) -> int:
    """Send SIGTERM to a unit's process, and wait for its end."""
    pid = running(name)
    if pid is not None:
        process = os.pidfd_open(pid)
        signal.pidfd_send_signal(process, signal.SIGTERM)
        select.select([process], [], [])
        os.close(process)
    return 0


def _enable(name: str, *, is_enabled: bool) -> None:
    PIDS.mkdir(exist_ok=True)
    mark = PIDS / f"{name}.enabled"
    mark.touch() if is_enabled else mark.unlink(missing_ok=True)


def is_enabled(name: str) -> bool:
    """Tell whether a unit starts with the machine."""
    return (PIDS / f"{name}.enabled").exists()


def do(command: str, name: str) -> int:
    """Do one command with one unit of ours."""
    pid = running(name)
    if command == "reload-or-restart":
        command = "start" if pid is None else "reload"
    if command == "reload":
        # As ExecReload of the units says.
        if pid is not None:
            os.kill(pid, signal.SIGHUP)
        return 0 if pid is not None else 1
    if command == "try-restart" and pid is None:
        return 0
    if command in ("stop", "restart", "try-restart"):
        stop(name)
    return start(name) if command.endswith("restart") or (command == "start" and pid is None) else 0


def main(arguments: list[str]) -> int:
    """Do one command of systemctl."""
    command, *units = [argument for argument in arguments if not argument.startswith("-")]
    names = [unit.removesuffix(".service") for unit in units]
    if command in ("enable", "disable"):
        for name in names:
            _enable(name, is_enabled=command == "enable")
        if "--now" not in arguments:
            return 0
        command = "start" if command == "enable" else "stop"
    # The scripts of packages say more, such as `preset`, which needs no answer here.
    if command in ("is-active", "is-enabled"):
        ours = [name for name in names if find_unit(name) is not None]
        asked = running if command == "is-active" else is_enabled
        return 0 if all(asked(name) for name in ours) else 3
    if command not in ("start", "stop", "restart", "try-restart", "reload", "reload-or-restart"):
        return 0
    for unit, name in zip(units, names, strict=True):
        if find_unit(name) is None:
            action = "restart" if command.startswith("reload") else command
            # service(8) comes back here where it takes systemd for running.
            script = [f"/etc/init.d/{name}"] if Path("/run/systemd/system").is_dir() else ["service", name]
            code = subprocess.run([*script, action], check=False).returncode
        else:
            code = do(command, name)
        if code != 0:
            log = Path(f"/var/log/{name}.log")
            sys.stderr.write(f"{unit}: {command} failed with {code}\n{log.read_text() if log.exists() else ''}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
