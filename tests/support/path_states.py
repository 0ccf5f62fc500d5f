"""Runs commands while a path of theirs is closed, missing or something else, each in a process of its own.

It is a program: the cases come on stdin as JSON, what became of each goes to stdout. The commands are imported once,
and each case is a fork of that.

    python tests/support/path_states.py TEMPLATE WORK < cases.json
"""

import gc
import json
import os
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, NoReturn

import click

from packrat_core.cli.command_group import CommandInModule

_IMPORTED = {
    "agent": ("packrat_agent.cli", "packrat_agent.formats", "packrat_agent.verify", "packrat_demo"),
    "server": ("packrat_server",),
}
_LIMIT_S = 120
"""A command that takes longer hangs."""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _close(path: Path) -> None:
    path.chmod(0)


def _close_way(path: Path) -> None:
    path.chmod(0o600 if path.is_dir() else 0)


def _swap(path: Path) -> None:
    was_directory = path.is_dir()
    _remove(path)
    if was_directory:
        path.write_text("x")
    else:
        path.mkdir()


def _listen(path: Path) -> None:
    # The path of a socket is short, and a name below the working directory is.
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


def _replace_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        _remove(path)
        make(path)

    return change


_STATES: Mapping[str, Callable[[Path], object]] = {
    "closed": _close,
    "no way through": _close_way,
    "missing": _remove,
    "other kind": _swap,
    "circle": _replace_by(lambda path: path.symlink_to(path.name)),
    "dangling": _replace_by(lambda path: path.symlink_to("nowhere")),
    "pipe": _replace_by(os.mkfifo),
    "socket": _replace_by(_listen),
    "device": _replace_by(lambda path: path.symlink_to("/dev/zero")),
    "empty": _replace_by(Path.touch),
    "one line": _replace_by(lambda path: path.write_bytes(b"x" * 1_000_000)),
    "bytes": _replace_by(lambda path: path.write_bytes(b"caf\xe9\xff")),
}


def _load(program: str) -> click.Group:
    """Import a program with all its commands."""
    group = import_module(f"packrat_{program}.cli.main").main
    assert isinstance(group, click.Group)
    for name, command in group.commands.items():
        if isinstance(command, CommandInModule):
            group.commands[name] = command.load()
    return group


def _run(case: Mapping[str, Any], output: Path) -> NoReturn:
    """Be the command, with its output in a file."""
    signal.alarm(_LIMIT_S)
    descriptor = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    for replaced in (1, 2):
        os.dup2(descriptor, replaced)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(output.parent)
    program = str(case["program"])
    sys.argv = [f"packrat-{program}", *case["words"]]
    code = 1
    try:
        _load(program)(args=case["words"], prog_name=f"packrat-{program}")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _open_again(directory: Path) -> None:
    directory.chmod(0o700)
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            _open_again(path)


def _try(case: Mapping[str, Any], template: Path, work: Path) -> dict[str, Any]:
    if work.exists():
        _open_again(work)
        shutil.rmtree(work)
    shutil.copytree(template, work, symlinks=True)
    if case["conf"]:
        (work / "etc" / "mirror.conf").write_bytes(os.fsencode(case["conf"]))
    path = Path(case["path"])
    # What a command only makes can't be closed.
    if case["state"] in _STATES and (os.access(path, os.F_OK) or case["state"] not in ("closed", "no way through")):
        _STATES[case["state"]](path)
    output = template.parent / "output"
    child = os.fork()
    if child == 0:
        _run(case, output)
    _, status = os.waitpid(child, 0)
    return {"code": os.waitstatus_to_exitcode(status), "said": output.read_text("utf-8", "backslashreplace")}


def _import_all(program: str) -> None:
    """Import what the commands import only when they are called, which each case would do anew."""
    for room in _IMPORTED[program]:
        path = import_module(room).__path__
        for module in walk_packages(path, f"{room}."):
            if not module.name.endswith("__main__") and ".migrations." not in module.name:
                import_module(module.name)


def main() -> None:
    """Run all cases."""
    cases = json.load(sys.stdin)
    for program in {case["program"] for case in cases}:
        _load(program)
        _import_all(program)
    # What is never looked at by a collection stays shared between the cases.
    gc.collect()
    gc.freeze()
    json.dump([_try(case, Path(sys.argv[1]), Path(sys.argv[2])) for case in cases], sys.stdout)


if __name__ == "__main__":
    main()
