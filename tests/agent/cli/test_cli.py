"""The command lines: help that is complete, exit codes as documented, one sentence in place of a traceback."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from packrat_agent.cli import main as agent_cli
from packrat_core import errors
from packrat_core.cli.command_group import CommandInModule
from packrat_core.listen import parse_listen
from packrat_server.cli import main as server_cli
from support.mirror_conf import write_mirror_conf
from support.replay import answer_of, replaying
from support.warm_agent import run_agent

PSK = "s3cr3t-psk"
PROGRAMS = {"packrat_agent.cli": agent_cli.main, "packrat_server.cli": server_cli.main}


def called(*arguments: str, module: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, on a terminal of usual width that isn't one; by default a copy of packrat-agent."""
    whole = {**os.environ, "COLUMNS": "80", **environment}
    if not module:
        return run_agent(arguments, whole, 60)
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=whole,
    )


@pytest.mark.parametrize("package", ["packrat_agent", "packrat_server"])
def test_a_program_runs_by_the_name_of_its_package(package: str) -> None:
    shown = called("--help", module=package).stdout
    assert shown.replace(f"-m {package} ", f"-m {package}.cli ") == called("--help", module=f"{package}.cli").stdout
    assert "Usage:" in shown


def told(done: subprocess.CompletedProcess[str], exit_code: int) -> str:
    """The one sentence that a program ended with."""
    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(("packrat-agent: ", "Error: "))
    return last


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it."""
    if isinstance(command, CommandInModule):
        command = command.load()
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, (*path, name))


ALL = [(main, path, command) for main in PROGRAMS.values() for path, command in commands(main)]


@pytest.mark.parametrize(
    ("main", "path", "command"), ALL, ids=[" ".join((str(main.name), *path)) for main, path, _ in ALL]
)
def test_each_commands_help_names_what_it_does_and_every_option(
    main: click.Command, path: tuple[str, ...], command: click.Command
) -> None:
    done = CliRunner(env={"COLUMNS": "80"}).invoke(main, [*path, "--help"])
    assert (done.exit_code, done.stderr) == (0, "")
    flat = " ".join(done.stdout.split())
    assert command.help
    assert " ".join(command.help.split()) in flat
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.name} says nothing of itself"
            assert all(name in flat for name in parameter.opts)
        else:
            assert parameter.make_metavar(click.Context(command)) in flat
    if isinstance(command, click.Group):
        listed = done.stdout.partition("Commands:\n")[2]
        for name in command.commands:
            assert re.search(rf"(?m)^  {name} +\S", listed)
        assert "..." not in listed, "a command's first sentence is too long for the list"


def test_the_help_names_every_exit_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PackratError)]
    codes = {kind.exit_code for kind in kinds}
    flat = " ".join(called("--help").stdout.split()).partition("Exit codes: ")[2]
    # 11 is of one file, never of the program.
    assert {int(code) for code in re.findall(r"(?:^|; )(\d+) ", flat)} == {0, *codes} - {11}


def test_the_version_is_the_packages() -> None:
    for module in PROGRAMS:
        name = module.partition(".")[0].replace("_", "-")
        assert called("--version", module=module).stdout == f"{name}, version {version('packrat-agent')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["--nope"],
        ["sync", "--nope"],
        ["sync", "argument"],
        ["--log-level", "loud", "config"],
        ["serve", "--listen"],
    ],
)
def test_a_wrong_command_line_is_2_and_touches_nothing(arguments: list[str]) -> None:
    done = called(*arguments)
    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("start", "`systemctl start packrat-agent`"),
        ("interactive", "`packrat-agent run`"),
        ("stop", "`systemctl stop packrat-agent`"),
        ("restart", "`systemctl restart packrat-agent`"),
        ("reload_config", "`systemctl reload packrat-agent`"),
        ("help", "`packrat-agent --help`"),
        ("version", "`packrat-agent --version`"),
    ],
)
def test_what_the_original_agent_or_others_call_a_command_is_told_in_ours(name: str, told: str) -> None:
    done = CliRunner().invoke(agent_cli.main, [name])
    assert done.exit_code == 2
    assert told in done.output


def test_a_log_level_may_be_in_capitals(tmp_path: Path) -> None:
    arguments = ["--log-level", "WARNING", "--config", str(mirror_conf(tmp_path)), "config"]
    assert CliRunner().invoke(agent_cli.main, arguments).exit_code == 0


def mirror_conf(directory: Path, host: str = "127.0.0.1:1", root_dir: Path | None = None, extra: str = "") -> Path:
    """A good configuration."""
    return write_mirror_conf(directory, host, root_dir=root_dir, packrat=f"psk: {PSK}\nproxy:\n", mirror=extra)


def test_config_prints_what_is_in_force_with_the_psk_masked(tmp_path: Path) -> None:
    conf = mirror_conf(tmp_path, extra="description: the lab's mirror\n")
    conf.chmod(0o644)
    done = called("--config", str(conf), "config")
    assert done.returncode == 0
    assert "[packrat]\nhost: http://127.0.0.1:1\nname: lab\npsk: ***\n" in done.stdout
    assert "\ndescription: the lab's mirror\n" in done.stdout
    assert "chmod 0640" in done.stderr
    assert PSK not in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mirror.conf"]


@pytest.mark.parametrize("command", ["config", "sync", "run", "serve"])
def test_a_wrong_configuration_is_2_for_every_command(tmp_path: Path, command: str) -> None:
    assert f"no configuration file {tmp_path}/missing" in told(called("--config", f"{tmp_path}/missing", command), 2)
    conf = mirror_conf(tmp_path, extra="rootdir: /x\n")
    done = called("--config", str(conf), command)
    assert "line 10: [mirror] has no key 'rootdir'; did you mean root_dir?" in told(done, 2)
    assert PSK not in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mirror.conf"]


def test_a_server_that_can_not_be_reached_is_3(tmp_path: Path) -> None:
    said = told(called("--config", str(mirror_conf(tmp_path)), "sync"), 3)
    assert "http://127.0.0.1:1 can't be reached" in said
    assert PSK not in said


@pytest.mark.parametrize(
    ("answer", "exit_code", "words"),
    [
        (answer_of(raw=b"<html>Log in to the network"), 5, "is not JSON"),
        (answer_of({"api-version": "3.0"}), 5, "packrat's API '3.0'"),
        (answer_of({"message": "Gone fishing"}, 403), 4, "Gone fishing"),
        (answer_of({"message": "Gone fishing"}, 500), 3, "Gone fishing"),
    ],
)
def test_the_answer_of_the_server_decides_the_exit_code(
    tmp_path: Path, answer: bytes, exit_code: int, words: str
) -> None:
    async def go() -> subprocess.CompletedProcess[str]:
        async with replaying(lambda request: answer) as origin:
            conf = mirror_conf(tmp_path, host=origin)
            return await asyncio.to_thread(called, "--config", str(conf), "sync")

    assert words in told(asyncio.run(go()), exit_code)


def test_a_missing_key_is_6(tmp_path: Path) -> None:
    (tmp_path / "gnupg").mkdir(mode=0o700)
    extra = f"gpg_sign_key: 0123456789ABCDEF\ngnupg_home: {tmp_path / 'gnupg'}\n"
    conf = mirror_conf(tmp_path, extra=extra)
    for command in ("sync", "run"):
        assert "gpg_sign_key 0123456789ABCDEF is not in" in told(called("--config", str(conf), command), 6)
    assert not list((tmp_path / "www").glob("*.html"))


def test_a_root_dir_that_can_not_be_made_is_7(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    conf = mirror_conf(tmp_path, root_dir=tmp_path / "file" / "www")
    assert f"{tmp_path}/file" in told(called("--config", str(conf), "sync"), 7)


def test_a_dry_run_needs_no_root_dir_and_makes_none(tmp_path: Path) -> None:
    told(called("--config", str(mirror_conf(tmp_path)), "sync", "--dry-run"), 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mirror.conf"]


@pytest.mark.parametrize("listen", ["x:y", "127.0.0.1:70000", "[::1", "127.0.0.1", "http://127.0.0.1:80"])
def test_an_address_that_is_none_is_reported(tmp_path: Path, listen: str) -> None:
    said = told(called("serve", "--root", str(tmp_path), "--listen", listen), 2)
    assert "--listen: " in said
    assert "is not HOST:PORT; give an address such as 127.0.0.1:8080" in said


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = told(called("serve", "--root", str(tmp_path), "--listen", f"127.0.0.1:{port}"), 2)
        assert f"127.0.0.1:{port} can't be listened on: the port is in use by another program; change --listen" in said
        said = told(called("demo", "--directory", str(tmp_path / "demo"), "--listen", f"127.0.0.1:{port}"), 2)
        assert f"127.0.0.1:{port} can't be listened on: the port is in use" in said


def test_a_demo_without_gpg_or_in_a_place_that_is_none_is_reported(tmp_path: Path) -> None:
    said = told(called("demo", "--directory", str(tmp_path / "demo"), PATH="/nonexistent"), 2)
    assert "gpg is not installed" in said
    (tmp_path / "file").touch()
    done = called("demo", "--directory", str(tmp_path / "file" / "demo"))
    assert f"{tmp_path}/file" in told(done, done.returncode)
    assert done.returncode in (2, 7)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8080", ("", 8080)),
        ("0.0.0.0:8080", ("0.0.0.0", 8080)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:80", ("localhost", 80)),
        ("[::1]:8080", ("::1", 8080)),
        (" [::]:65535 ", ("::", 65535)),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize("before", [True, False])
def test_the_configuration_may_be_named_before_the_command_or_behind_it(tmp_path: Path, before: bool) -> None:
    path = str(write_mirror_conf(tmp_path))
    named = ["-c", path, "config"] if before else ["-c", str(tmp_path / "no.conf"), "config", "-c", path]
    assert f"# in force, from {path}" in called(*named).stdout


@pytest.mark.parametrize("words", ["key show -c {}", "key -c {} show", "-c {} key show"])
def test_the_commands_of_a_group_take_the_configuration_like_the_others(tmp_path: Path, words: str) -> None:
    assert "no key is configured" in called(*words.format(write_mirror_conf(tmp_path)).split()).stdout


@pytest.mark.parametrize("module", PROGRAMS)
def test_the_short_option_prints_the_version(module: str) -> None:
    assert called("-V", module=module).stdout == called("--version", module=module).stdout != ""


def test_check_as_json_keeps_its_exit_code(tmp_path: Path) -> None:
    done = called("check", "--json", "-c", str(write_mirror_conf(tmp_path)))
    assert done.returncode == 3
    assert json.loads(done.stdout)["level"] == "UNKNOWN"


def test_commands_say_what_comes_next(tmp_path: Path) -> None:
    path = str(write_mirror_conf(tmp_path))
    assert f"next: `packrat-agent --config {path} sync --dry-run`" in called("config", "-c", path).stderr


@pytest.mark.parametrize("program", ["packrat_agent.cli", "packrat_server.cli"])
def test_an_answer_that_the_disk_does_not_take_is_reported(program: str) -> None:
    words = ("-c", "/etc/hostname", "site", "--help") if program == "packrat_agent.cli" else ("--help",)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", program, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (7, 1), done.stderr
    assert "can't write to stdout: No space left on device" in done.stderr


@pytest.mark.parametrize("given", ["x", "1001", "-1", "1.5"])
def test_a_wrong_number_is_told_its_bounds(given: str) -> None:
    said = called("status", "--events", given)
    assert said.returncode == 2
    assert f"Invalid value for '--events': '{given}' is not an integer between 0 and 1000" in said.stderr
