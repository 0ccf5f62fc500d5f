"""`changes` loses nothing; `poll` is what old agents expect."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from packrat_server import admin
from packrat_server.store.database import open_database
from support.world import World, world

CHANGES = "/api/v2/Repo/Mirror:lab:(changes)"
APT = "/api/v2/Repo/Repo:apt-dev:"


@pytest.fixture
def server(tmp_path: Any, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path, new_database()) as made:
        yield made


def tag(server: World, number: int, name: str = "dev", action: str = "tag") -> None:
    uri = f"/api/v2/Package/PackageFile:{number}:({action})"
    answer = server.call("CALL", uri, {"tag": f"/api/v2/Attrib/Tag:{name}:", "change_control_id": "x"})
    assert answer.status == 200, answer.data


def act(server: World, number: int, action: str) -> None:
    assert server.call("CALL", f"/api/v2/Package/PackageFile:{number}:({action})", {}).status == 200


def ask(server: World, position: str | None, timeout_s: int = 0, who: str = "lab") -> Any:
    answer = server.call("CALL", CHANGES.replace("lab", who), {"position": position, "timeout": timeout_s}, who)
    assert answer.status == 200, answer.data
    return answer.value


def test_nothing_changed_is_reported_as_nothing(server: World) -> None:
    start = ask(server, None)
    assert start["changes"] == {}
    assert ask(server, start["position"]) == start


def test_every_change_since_a_position_is_reported_once_each(server: World) -> None:
    position = ask(server, None)["position"]
    tag(server, 7)
    act(server, 2, "fail")
    act(server, 2, "unfail")
    told = ask(server, position)
    assert told["changes"] == {APT: ["myall", "p7"]}
    assert ask(server, told["position"])["changes"] == {}
    # The same position tells the same again: an answer that was lost on the way loses nothing.
    assert ask(server, position)["changes"] == told["changes"]


def test_a_change_wakes_the_one_who_waits(server: World) -> None:
    position = ask(server, None)["position"]
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(ask(server, position, 200)))
    waiting.start()
    tag(server, 7)
    waiting.join(60)
    assert got[0]["changes"] == {APT: ["p7"]}


def test_a_question_from_an_earlier_position_is_answered_at_once(server: World) -> None:
    position = ask(server, None)["position"]
    # From the wait on the server knows the repositories of the mirror.
    waiter = threading.Thread(target=ask, args=(server, position, 60))
    waiter.start()
    until = time.monotonic() + 60
    while b"packrat_server_waiting 1\n" not in server.ask("GET", "/metrics", {}).data:
        assert time.monotonic() < until
    tag(server, 7)
    waiter.join(30)
    began = time.monotonic()
    assert ask(server, position, 60)["changes"] == {APT: ["p7"]}
    assert time.monotonic() - began < 30


def test_changes_of_other_mirrors_are_not_reported(server: World) -> None:
    position = ask(server, None, who="prod")["position"]
    tag(server, 7)
    assert ask(server, position, who="prod")["changes"] == {}


def test_promotion_reaches_the_repository_of_the_new_tag_only(server: World) -> None:
    position = ask(server, None)["position"]
    tag(server, 2, "stage")
    assert ask(server, position)["changes"] == {APT.replace("dev", "stage"): ["myall"]}


def test_a_position_that_is_not_known_makes_everything_unknown(server: World) -> None:
    for position in ("999999-abcd1234", "1-ffffffff", "nonsense", "-", "9" * 50):
        changes = ask(server, position)["changes"]
        assert changes[APT] is None
        assert changes["/api/v2/Repo/Mirror:lab:"] is None


def test_a_database_put_back_from_a_backup_makes_everything_unknown(server: World) -> None:
    tag(server, 7)
    position = ask(server, None)["position"]
    engine = open_database(server.data)
    with engine.connect() as connection, connection.begin():
        # The same number was given to another change after the backup was put back.
        connection.exec_driver_sql("UPDATE journal SET mark = 'other' WHERE id = (SELECT max(id) FROM journal)")
    engine.dispose()
    assert ask(server, position)["changes"][APT] is None


def test_a_change_of_the_mirror_itself_is_reported_also_when_another_process_makes_it(server: World) -> None:
    position = ask(server, None)["position"]
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(ask(server, position, 200)))
    waiting.start()
    engine = open_database(server.data)
    admin.save_mirror(engine, "lab", ["apt-dev"])
    engine.dispose()
    waiting.join(60)
    assert got[0]["changes"] == {"/api/v2/Repo/Mirror:lab:": None}


def test_a_poll_names_the_package_that_changed(server: World) -> None:
    got: list[Any] = []

    def poll() -> None:
        got.append(server.call("CALL", f"{APT}(poll)", {"timeout": 240}, "lab").value)

    waiting = threading.Thread(target=poll)
    waiting.start()
    # A poll tells only what happens while it waits, so something happens until it has told.
    number = 0
    while waiting.is_alive():
        act(server, 2, ("fail", "unfail")[number % 2])
        number += 1
        waiting.join(0.2)
    assert got == [["myall"]]


def test_an_idle_poll_answers_an_empty_list_after_ten_seconds_at_least(server: World) -> None:
    started = time.monotonic()
    answer = server.call("CALL", f"{APT}(poll)", {"timeout": 1}, "lab")
    assert (answer.status, answer.value) == (200, [])
    assert time.monotonic() - started >= 10


def test_many_wait_without_a_thread_each(server: World) -> None:
    position = ask(server, None)["position"]
    server.auth("lab")
    before = threading.active_count()
    got: list[Any] = []
    waiting = [threading.Thread(target=lambda: got.append(ask(server, position, 200))) for _ in range(120)]
    for thread in waiting:
        thread.start()
    tag(server, 7)
    for thread in waiting:
        thread.join(60)
    assert len(got) == 120
    assert all(answer["changes"] == {APT: ["p7"]} for answer in got)
    # The server runs in this process: anyio's pool, which all requests share, is all that it added.
    assert threading.active_count() - before <= 45
