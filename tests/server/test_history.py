"""`history` tells what happened to a file or a package, from the data directory and through the API."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from packrat_core.cli.command_group import CommandInModule
from packrat_demo.build_deb import Deb, write_deb
from packrat_server import admin
from packrat_server.accounts.rights import Role
from packrat_server.cli import main as cli
from packrat_server.promotion.package_files import delete_file
from packrat_server.store.database import open_database, writing
from packrat_server.store.events import SERVER
from support.stage import Server, packrat_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[Server]:
    with packrat_server(tmp_path_factory.mktemp("history"), new_database()) as made:
        deb = write_deb(Deb("told", "1.0", "all"), tmp_path_factory.mktemp("debs"))
        for words in (
            ("upload", str(deb), "--distro", "bookworm"),
            ("promote", deb.name, "--to", "prod", "--change-control", "CHG-1", "--reason", "release 1"),
            ("fail", deb.name, "--reason", "broken \x1b[2J"),
        ):
            assert called(made, *words).exit_code == 0
        yield made


def called(server: Server, *words: str, secret: str = "", remote: bool = True) -> Result:
    place = ["--url", server.url] if remote else ["--data", str(server.data)]
    return CliRunner().invoke(cli.main, [*words, *place], env={"PACKRAT_PASSWORD": secret or server.password})


@pytest.mark.parametrize("remote", [False, True], ids=["data", "api"])
def test_a_history_says_who_did_what_when_and_why(server: Server, remote: bool) -> None:
    lines = called(server, "history", "told_1.0_all.deb", remote=remote).stdout.splitlines()
    assert lines[0].split() == ["at", "by", "action", "file", "change", "change", "control", "reason"]
    rows = [line.split(maxsplit=4)[2:] for line in lines[1:]]
    assert [row[:2] for row in rows] == [
        ["admin", "create"],
        *[["admin", "tag"]] * 3,
        ["admin", "fail"],
    ]
    assert " ".join(rows[3][2].split()).endswith("tags dev, stage → dev, prod, stage CHG-1 release 1")
    assert " ".join(rows[4][2].split()).endswith("failed_by - → admin - broken ?[2J")
    assert "\x1b" not in "".join(lines)
    done = called(server, "history", "told_1.0_all.deb", "--json", "--limit", "2", remote=remote)
    events: list[dict[str, Any]] = json.loads(done.stdout)
    assert [event["action"] for event in events] == ["tag", "fail"]
    assert events[0]["change_control_id"] == "CHG-1"


def test_a_package_has_the_history_of_its_files(server: Server) -> None:
    told = [called(server, "history", "told", "--json", remote=remote).stdout for remote in (False, True)]
    assert told[0] == told[1]
    assert [event["action"] for event in json.loads(told[0])] == ["create", "create", *["tag"] * 3, "fail"]
    (record,) = json.loads(called(server, "file", "show", "told_1.0_all.deb", "--json").stdout)
    of_uri = [called(server, "history", record["uri"], "--json", remote=remote).stdout for remote in (False, True)]
    assert of_uri == [called(server, "history", "told_1.0_all.deb", "--json").stdout] * 2


@pytest.mark.parametrize("remote", [False, True], ids=["data", "api"])
def test_history_of_an_unknown_name_is_an_error(server: Server, remote: bool) -> None:
    done = called(server, "history", "nothere", remote=remote)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("packrat-server: nothing is known to have happened to 'nothere'; ")


def test_a_reader_looks_and_may_not_promote(server: Server, tmp_path: Path) -> None:
    engine = open_database(server.data)
    admin.save_user(engine, "looker", Role.READER, "secret-of-looker")
    engine.dispose()
    deb = write_deb(Deb("looked-at", "2.0", "all"), tmp_path)
    assert called(server, "upload", str(deb), "--distro", "bookworm").exit_code == 0
    for words in (("find", "told"), ("package", "list"), ("history", "told"), ("diff", "dev", "prod")):
        assert called(server, *words, "--user", "looker", secret="secret-of-looker").exit_code == 0
    done = called(server, "promote", deb.name, "--to", "dev", "--user", "looker", secret="secret-of-looker")
    assert done.exit_code == 4
    assert "not tagged dev: this user has no right to do this" in done.stderr


def test_the_words_of_an_administrator_are_on_record(server: Server) -> None:
    for words in (
        ("tag-type", "set", "qa", "--requires", "dev"),
        ("tag-type", "set", "qa"),
        ("distro", "set", "dry", "--type", "deb", "--dry-run"),
        ("user", "set", "tester", "--role", "uploader", "--right", "tag_qa"),
    ):
        assert called(server, *words, remote=False).exit_code == 0
    held = called(server, "tag-type", "remove", "qa", remote=False)
    assert "a right of user tester" in held.stderr
    told = called(server, "export-events", remote=False).stdout.splitlines()
    events = [event for event in map(json.loads, told) if event["object"] in {"qa", "dry"}]
    assert [(event["action"], event["model"], event["before"]) for event in events] == [("set", "Attrib/Tag", None)]
    assert events[0]["after"] == {"required tags": "dev", "change control": "not needed"}


CHANGES = (
    "distro set sid --type deb",
    "tag-type set why --requires dev",
    "tag-type remove why",
    "repo set apt-why --type apt --tag dev --distro sid",
    "mirror set why --repo apt-why",
    "mirror remove why --yes",
    "repo remove apt-why --yes",
    "distro remove sid",
    "user set whose",
    "user remove whose",
    "package set why --failed-count 7",
    "file free why_1.0_all.deb --yes",
)


def test_each_change_has_its_reason_on_record(server: Server, tmp_path: Path) -> None:
    deb = write_deb(Deb("why", "1.0", "all"), tmp_path)
    for words in (("upload", str(deb), "--distro", "bookworm", "--tag", "dev"), ("tag", "--off", "dev", deb.name)):
        done = called(server, *words, "--reason", f"since {words[0]}")
        assert done.exit_code == 0, done.output
    told = [json.loads(line) for line in called(server, "export-events", remote=False).stdout.splitlines()]
    engine = open_database(server.data)
    with writing(engine) as connection:
        delete_file(connection, int(told[-1]["object"]), SERVER)
    engine.dispose()
    for line in CHANGES:
        done = called(server, *line.split(), "--reason", f"since {line}", remote=False)
        assert done.exit_code == 0, done.output
    last = told[-1]["id"] - 4
    told = [
        json.loads(line)
        for line in called(server, "export-events", "--after", str(last), remote=False).stdout.splitlines()
    ]
    # The package, its file and the tag are three events of the upload.
    said = ["since upload"] * 3 + ["since tag", None, *(f"since {line}" for line in CHANGES)]
    assert [event["reason"] for event in told] == said


def test_every_command_that_changes_something_takes_a_reason() -> None:
    looking = {"list", "show", "find", "diff", "history", "where", "export-events", "init", "serve"}

    def leaves(command: click.Command) -> Iterator[click.Command]:
        if isinstance(command, CommandInModule):
            command = command.load()
        if not isinstance(command, click.Group):
            yield command
            return
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from leaves(found)

    for command in leaves(cli.main):
        taken = any("--reason" in parameter.opts for parameter in command.params)
        assert taken is (command.name not in looking), command.name


def test_a_reason_that_can_not_be_kept_is_refused_before_anything_is_done(server: Server) -> None:
    for wrong, told in (
        ("x" * 1001, "--reason: it has 1001 characters; give up to 1000"),
        ("\udcff", "is not text in"),
    ):
        for words in (("user", "set", "whose"), ("fail", "why_1.0_all.deb", "--url", server.url)):
            done = CliRunner().invoke(cli.main, [*words, "--reason", wrong])
            assert (done.exit_code, told in done.output) == (2, True), done.output
