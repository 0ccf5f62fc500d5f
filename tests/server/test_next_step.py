"""What a command says about the command that comes next, which can be given as it stands."""

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from packrat_demo.build_deb import Deb, write_deb
from packrat_server.cli import main as cli
from support.stage import packrat_server


def call(*words: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(cli.main, list(map(str, words)), env=environment)


def next_of(done: Result) -> list[str]:
    assert done.exit_code == 0, done.output
    return [line.removeprefix("next: ") for line in done.stderr.splitlines() if line.startswith("next: ")]


def commands_in(told: str) -> list[list[str]]:
    return [shlex.split(command) for command in re.findall("`([^`]+)`", told)]


def test_each_step_of_the_setup_names_the_next_one(tmp_path: Path) -> None:
    data = str(tmp_path / "data of one")
    place = ("--data", data)
    (told,) = next_of(call("init", *place))
    serve, repo = commands_in(told)
    assert serve == ["packrat-server", "serve", *place]
    (told,) = next_of(call(*repo[1:]))
    ((_, *mirror),) = commands_in(told)
    assert mirror == ["mirror", "set", "MIRROR", "--repo", "apt-dev", *place]
    (told,) = next_of(call(*mirror))
    assert commands_in(told) == [["packrat-agent", "init", "--name", "MIRROR"]]
    for words in (("tag-type", "set", "qa"), ("distro", "set", "forky", "--type", "deb")):
        (told,) = next_of(call(*words, *place))
        assert words[2] in commands_in(told)[0]
    for again in (["mirror", "set", "MIRROR"], ["tag-type", "set", "qa"], ["repo", "set", "apt-dev", "--all-versions"]):
        assert next_of(call(*again, *place)) == [], "nothing new was made"
    (told,) = next_of(call("mirror", "set", "MIRROR", "--new-psk", *place))
    assert "systemctl reload packrat-agent" in told


@pytest.mark.parametrize(
    ("role", "command"), [("reader", "find"), ("promoter", "promote"), ("uploader", "upload"), ("manager", "upload")]
)
def test_a_new_user_gets_a_command_of_its_role(tmp_path: Path, role: str, command: str) -> None:
    place = ("--data", str(tmp_path / "data"))
    next_of(call("init", *place))
    right = ("--right", "tag_dev") if role == "promoter" else ()
    (told,) = next_of(call("user", "set", "joe", "--role", role, *right, *place))
    assert commands_in(told)[0][1] == command
    assert next_of(call("user", "set", "joe", "--new-password", *place)) == []


def test_repeated_commands_tell_the_next_step_only_at_a_terminal(tmp_path: Path) -> None:
    with packrat_server(tmp_path) as server:
        deb = write_deb(Deb("hello", "1.0", "all"), tmp_path)
        environment = {"PACKRAT_PASSWORD": server.password}
        uploading = ("upload", deb, "--distro", "bookworm", "--url", server.url)
        assert call(*uploading, **environment).stderr == ""
        ours, theirs = pty.openpty()
        for words, expected in (
            (uploading, f"next: `packrat-server tag TAG {deb.name} --url {server.url}` offers it"),
            (
                ("tag", "dev", deb.name, "--url", server.url),
                f"next: `packrat-server where {deb.name} --url {server.url}` says which mirrors",
            ),
        ):
            command = [sys.executable, "-m", "packrat_server.cli", *map(str, words)]
            subprocess.run(command, stderr=theirs, check=True, capture_output=False, env={**os.environ, **environment})
            told = ""
            # What a process wrote comes out of its terminal in portions, perhaps after its end.
            while expected not in told:
                told += os.read(ours, 4096).decode()
        os.close(ours)
        os.close(theirs)
