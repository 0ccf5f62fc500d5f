"""What happened is on record: each change with who, when, why, before and after; nothing is ever changed there."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from packrat_core.errors import ServerUnavailable
from packrat_demo.build_deb import Deb, build_deb
from packrat_server import admin
from packrat_server.accounts.rights import Role
from packrat_server.admin.new_server import init
from packrat_server.cli import main as cli
from packrat_server.promotion.promote import tag_file
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.events import SERVER, Author, Event, EventFilter, add_event, read_events
from support.postgres import Cluster
from support.world import Answer, World, world

PACKAGE_FILE = "/api/v2/Package/PackageFile"
HISTORY = f"{PACKAGE_FILE}(history)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        yield made


def act(server: World, uri: str, action: str, status: int = 200, who: str = "manager", **arguments: Any) -> Answer:
    if "tag" in arguments:
        arguments["tag"] = f"/api/v2/Attrib/Tag:{arguments['tag']}:"
    answer = server.call("CALL", f"{uri}({action})", arguments, who)
    assert answer.status == status, answer.data
    return answer


def history(server: World, who: str = "reader", **arguments: Any) -> list[dict[str, Any]]:
    answer = server.call("CALL", HISTORY, arguments, who)
    assert answer.status == 200, answer.data
    return list(answer.value)


def all_of(server: World) -> list[dict[str, Any]]:
    engine = open_database(server.data)
    with reading(engine) as connection:
        found = read_events(connection, EventFilter(), 0, 10_000)
    engine.dispose()
    return found


def upload(server: World, name: str) -> str:
    server.call("CREATE", "/api/v2/Package/Package", {"name": name}, "manager")
    handle = server.upload(f"{name}_1_all.deb", build_deb(Deb(name, "1", "all"))).value["uri"]
    given = {"file": handle, "justification": "", "provenance": "", "distroversion": "bookworm"}
    return str(server.call("CALL", f"{PACKAGE_FILE}(create)", given, "manager").value)


def test_each_change_of_a_file_is_on_record_with_its_reason(server: World) -> None:
    uri = upload(server, "told")
    act(server, uri, "tag", tag="dev", reason="first build")
    act(server, uri, "tag", tag="stage")
    act(server, uri, "tag", tag="prod", change_control_id="CHG-7", who="root")
    act(server, uri, "untag", tag="prod", reason="too early")
    for action in ("fail", "unfail", "deprocate", "undeprocate"):
        act(server, uri, action, reason=f"because of {action}")
        # A mark that changes nothing is nothing that happened.
        act(server, uri, action, reason="again")
    assert server.call("DELETE", uri, None, "root").status == 200
    told = history(server, package="told")
    assert [(event["action"], event["by"], event["change_control_id"], event["reason"]) for event in told] == [
        ("create", "manager", None, None),
        ("create", "manager", None, None),
        ("tag", "manager", None, "first build"),
        ("tag", "manager", None, None),
        ("tag", "root", "CHG-7", None),
        ("untag", "manager", None, "too early"),
        *((action, "manager", None, f"because of {action}") for action in ("fail", "unfail")),
        *((action, "manager", None, f"because of {action}") for action in ("deprocate", "undeprocate")),
        ("delete", "root", None, None),
    ]
    assert [(event["before"], event["after"]) for event in told[2:10]] == [
        ({"tags": []}, {"tags": ["dev"]}),
        ({"tags": ["dev"]}, {"tags": ["dev", "stage"]}),
        ({"tags": ["dev", "stage"]}, {"tags": ["dev", "prod", "stage"]}),
        ({"tags": ["dev", "prod", "stage"]}, {"tags": ["dev", "stage"]}),
        ({"failed_by": None}, {"failed_by": "manager"}),
        ({"failed_by": "manager"}, {"failed_by": None}),
        ({"deprocated_by": None}, {"deprocated_by": "manager"}),
        ({"deprocated_by": "manager"}, {"deprocated_by": None}),
    ]
    made, gone = told[1], told[-1]
    assert (made["before"], gone["after"]) == (None, None)
    assert made["after"]["sha256"] == gone["before"]["sha256"]
    assert gone["before"]["tags"] == ["dev", "stage"]
    assert {event["via"] for event in told} == {"api"}
    assert [event["at"] for event in told] == sorted(event["at"] for event in told)
    # Also of what is not there any more, by each way to ask.
    assert history(server, file_name="told_1_all.deb") == told[1:]
    assert history(server, file=uri) == told[1:]
    assert history(server, package="told", after=told[3]["id"], count=2) == told[4:6]


def test_refused_actions_leave_no_event(server: World) -> None:
    before = all_of(server)
    act(server, f"{PACKAGE_FILE}:1:", "tag", 400, tag="dev")
    act(server, f"{PACKAGE_FILE}:2:", "tag", 400, tag="prod")
    act(server, f"{PACKAGE_FILE}:1:", "untag", 400, tag="stage")
    act(server, f"{PACKAGE_FILE}:7:", "tag", 403, who="reader", tag="dev")
    assert "reason" in act(server, f"{PACKAGE_FILE}:7:", "tag", 400, tag="dev", reason="x" * 1001).value
    assert server.call("CREATE", "/api/v2/Package/Package", {"name": "hello"}, "manager").status == 400
    engine = open_database(server.data)

    def tag_and_fail() -> None:
        with writing(engine) as connection:
            tag_file(connection, 7, "dev", None, Author("somebody"))
            raise KeyError

    with pytest.raises(KeyError):
        tag_and_fail()
    engine.dispose()
    assert all_of(server) == before


def test_the_second_deletion_of_a_file_fails_and_only_the_first_is_on_record(server: World) -> None:
    uri = upload(server, "twice")
    assert server.call("DELETE", uri, None, "root").status == 200
    assert server.call("DELETE", uri, None, "root").status == 404
    assert [event["action"] for event in history(server, file=uri)] == ["create", "delete"]


@pytest.mark.parametrize("change", ["UPDATE events SET reason = 'another'", "DELETE FROM events"])
def test_events_are_only_added(server: World, change: str) -> None:
    act(server, f"{PACKAGE_FILE}:2:", "fail")
    act(server, f"{PACKAGE_FILE}:2:", "unfail")
    before = all_of(server)
    engine = open_database(server.data)

    def forge() -> None:
        with writing(engine) as connection:
            connection.execute(text(change))

    with pytest.raises((DBAPIError, ServerUnavailable), match="events are only added"):
        forge()
    engine.dispose()
    assert all_of(server) == before


def test_events_are_not_truncated(postgresql: Cluster, tmp_path: Path) -> None:
    init(tmp_path / "server", postgresql.new_database())
    engine = open_database(tmp_path / "server")
    with writing(engine) as connection:
        add_event(connection, SERVER, Event("set", "Repo/Repo", "apt-dev", None, {}))
    with pytest.raises((DBAPIError, ServerUnavailable), match="events are only added"), writing(engine) as connection:
        connection.execute(text("TRUNCATE events"))
    with reading(engine) as connection:
        assert len(read_events(connection, EventFilter(), 0, 10)) > 0
    engine.dispose()


def test_changes_by_commands_and_users_are_on_record(tmp_path: Path) -> None:
    with world(tmp_path) as server:
        done = len(all_of(server))
        engine = open_database(server.data)
        admin.save_repo(engine, admin.NewRepo("apt-dev", description="Other"))
        admin.set_mirror(engine, "lab", ["apt-dev"])
        admin.set_mirror(engine, "lab", psk="another")
        admin.set_user(engine, "bob", Role.READER, "bob_pw", ["tag_dev"])
        admin.set_user(engine, "bob", Role.READER)
        admin.remove_user(engine, "bob")
        admin.remove_mirror(engine, "lab")
        admin.remove_repo(engine, "apt-dev")
        engine.dispose()
        secrets = {"password": "mine", "old_password": "mcp_pw"}
        assert server.call("CALL", "/api/v2/Auth/User(change_password)", secrets, "mcp").status == 200
        told = all_of(server)[done:]
    assert [(event["action"], event["model"], event["object"]) for event in told] == [
        ("set", "Repo/Repo", "apt-dev"),
        ("set", "Repo/Mirror", "lab"),
        ("set", "Repo/Mirror", "lab"),
        ("set", "Auth/User", "bob"),
        ("remove", "Auth/User", "bob"),
        ("remove", "Repo/Mirror", "lab"),
        ("remove", "Repo/Repo", "apt-dev"),
        ("change_password", "Auth/User", "mcp"),
    ]
    assert [event["via"] for event in told] == ["command"] * 7 + ["api"]
    assert all(event["by"] for event in told)
    assert told[0]["before"]["description"] == "APT - dev"
    assert told[0]["after"]["description"] == "Other"
    assert told[3]["after"]["further rights"] == "tag_dev"
    assert not any(secret in json.dumps(told) for secret in ("bob_pw", "another", "mcp_pw", "mine"))


def test_history_needs_a_user_and_something_to_look_for(server: World) -> None:
    assert server.call("CALL", HISTORY, {"package": "hello"}, "lab").status == 403
    assert server.call("CALL", HISTORY, {"package": "hello"}, None).status == 403
    for wrong in ({}, {"package": "hello", "count": 0}, {"package": "hello", "count": 1001}, {"file": "hello"}):
        answer = server.call("CALL", HISTORY, wrong, "reader")
        assert answer.status == 400, wrong
        assert list(answer.value) == ["count" if "count" in wrong else "file" if "file" in wrong else "package"]


def test_the_export_has_every_event_as_a_line(server: World) -> None:
    act(server, f"{PACKAGE_FILE}:3:", "fail", reason="Grüße\n\x1b[2J")
    events = all_of(server)
    done = CliRunner().invoke(cli.main, ["export-events", "--data", str(server.data)])
    assert [json.loads(line) for line in done.stdout.split("\n")[:-1]] == events
    assert "\x1b" not in done.stdout
    last = ["export-events", "--after", str(events[-2]["id"]), "--data", str(server.data)]
    assert json.loads(CliRunner().invoke(cli.main, last).stdout) == events[-1]
