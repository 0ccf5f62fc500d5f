"""`changes` gives the records of a small change: the same that its mirror would get by LIST and GET.

Or of the files that it touched: with what was known before, the same again.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, update

from packrat_server import admin
from packrat_server.api.changed_records import FILES_LIMIT, PACKAGES_LIMIT, TEXT_LIMIT
from packrat_server.store.database import open_database, writing
from packrat_server.store.tables import journal, package_file_tags, package_files
from support.world import World, world

CHANGES = "/api/v2/Repo/Mirror:lab:(changes)"
PACKAGE_FILE = "/api/v2/Package/PackageFile"
REPO = "/api/v2/Repo/Repo:pypi-dev:"
DEV = {"tag": "/api/v2/Attrib/Tag:dev:"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        yield made


@pytest.fixture
def server(running: World) -> World:
    engine = open_database(running.data)
    admin.save_mirror(engine, "lab", ["pypi-dev"])
    engine.dispose()
    return running


def ask(server: World, position: str | None, who: str = "lab", **more: Any) -> Any:
    answer = server.call("CALL", CHANGES, {"position": position, "timeout": 0, **more}, who)
    assert answer.status == 200, answer.data
    return answer.value


def package_of(server: World, number: int) -> str:
    return str(server.call("GET", f"{PACKAGE_FILE}:{number}:").value["package"].split(":")[1])


def act(server: World, number: str, action: str) -> None:
    arguments = DEV if action in ("tag", "untag") else {}
    assert server.call("CALL", f"{PACKAGE_FILE}:{number}:({action})", arguments).status == 200


def change(server: World, number: int) -> None:
    """Change a package, and leave it as it was."""
    act(server, str(number), "untag")
    act(server, str(number), "tag")


def by_asking(server: World, package: str) -> dict[str, dict[str, Any]]:
    """What a mirror finds by LIST and GET."""
    found: dict[str, dict[str, Any]] = {}
    for kind, name, more in (("wanted", "repo", {}), ("deprocated", "kept", {"deprocated": True})):
        asked = {"repo": REPO, "package_list": [package], **more}
        uris = server.call("LIST", PACKAGE_FILE, asked, "lab", Filter=name).value
        found[kind] = {uri: server.call("GET", uri, None, "lab").value for uri in uris}
    return found


def test_the_records_are_those_that_a_mirror_would_ask_for(server: World) -> None:
    name = package_of(server, 11)
    sizes = []
    for action in ("untag", "tag", "deprocate", "undeprocate", "fail", "unfail"):
        position = ask(server, None)["position"]
        act(server, "11", action)
        told = ask(server, position, records=True)
        assert told["changes"] == {REPO: [name]}
        assert told["records"] == {REPO: {name: by_asking(server, name)}}
        sizes.append(tuple(len(files) for files in told["records"][REPO][name].values()))
        # A caller that asks as before gets the answer as before.
        assert ask(server, position) == {key: told[key] for key in ("position", "changes")}
        assert ask(server, position, records=False) == ask(server, position)
        assert ask(server, position, "root", records=True) == told
    assert sizes == [(0, 0), (1, 0), (0, 1), (1, 0), (0, 0), (1, 0)]


def test_the_argument_is_described_and_checked(server: World) -> None:
    described = server.call("DESCRIBE", "/api/v2/Repo/Mirror(changes)", None, "lab").value["paramaters"]
    for at, name in ((2, "records"), (4, "touched")):
        assert described[at] == {"name": name, "type": "Boolean", "default": False}
    answer = server.call("CALL", CHANGES, {"position": None, "timeout": 0, "records": "yes"}, "lab")
    assert (answer.status, list(answer.value)) == (400, ["records"])
    assert ask(server, None, records=True)["records"] == {}


def test_a_position_that_is_not_known_and_a_new_view_come_without_records(server: World) -> None:
    assert ask(server, "1-nope", records=True)["records"] == {}
    position = ask(server, None)["position"]
    change(server, 11)
    engine = open_database(server.data)
    admin.save_mirror(engine, "lab", ["pypi-dev"], "Another description")
    engine.dispose()
    told = ask(server, position, records=True)
    assert (told["changes"][REPO], told["records"]) == ([package_of(server, 11)], {})


@pytest.mark.parametrize("count", [FILES_LIMIT, FILES_LIMIT + 1])
def test_many_files_are_left_to_a_question(server: World, count: int) -> None:
    position = ask(server, None)["position"]
    change(server, 12)
    name = package_of(server, 12)
    engine = open_database(server.data)
    with writing(engine) as connection:
        row = dict(connection.execute(package_files.select().where(package_files.c.id == 12)).one()._mapping)
        del row["id"]
        for number in range(count - 1):
            made = connection.execute(
                insert(package_files).values({**row, "version": f"9.{number}", "file_name": f"{name}-{count}-{number}"})
            )
            assert made.inserted_primary_key is not None
            tagged = {"tag": "dev", "by": "root", "at": datetime.now(UTC)}
            connection.execute(insert(package_file_tags).values(package_file=made.inserted_primary_key[0], **tagged))
    told = ask(server, position, records=True)
    assert told["changes"] == {REPO: [name]}
    if count > FILES_LIMIT:
        assert told["records"] == {}
    else:
        assert len(told["records"][REPO][name]["wanted"]) == count
    with writing(engine) as connection:
        connection.execute(package_file_tags.delete().where(package_file_tags.c.package_file > 45))
        connection.execute(package_files.delete().where(package_files.c.version.like("9.%")))
    engine.dispose()


def test_much_text_and_many_packages_are_left_to_a_question(server: World) -> None:
    engine = open_database(server.data)
    for text, known in (("x" * TEXT_LIMIT, True), ("x" * (TEXT_LIMIT + 1), False)):
        with writing(engine) as connection:
            values = {"justification": text, "provenance": ""}
            connection.execute(update(package_files).where(package_files.c.id == 13).values(values))
        position = ask(server, None)["position"]
        change(server, 13)
        assert bool(ask(server, position, records=True)["records"]) is known
    admin.save_repo(engine, admin.NewRepo("json-dev", "json", "dev", ("resource",), show_only_latest=False))
    admin.save_mirror(engine, "lab", ["json-dev"])
    position = ask(server, None)["position"]
    for number in range(20, 21 + PACKAGES_LIMIT):
        change(server, number)
        found = ask(server, position, records=True)["records"]
        assert bool(found) is (number < 20 + PACKAGES_LIMIT)
    engine.dispose()


@contextmanager
def more_files(server: World, like: int, count: int) -> Iterator[list[int]]:
    """Give the package of a file more files with its tag; gives their numbers."""
    engine = open_database(server.data)
    made: list[int] = []
    with writing(engine) as connection:
        row = dict(connection.execute(package_files.select().where(package_files.c.id == like)).one()._mapping)
        del row["id"]
        for number in range(count):
            values = {**row, "version": f"7.{number}", "file_name": f"more-{like}-{number}"}
            key = connection.execute(insert(package_files).values(values)).inserted_primary_key
            assert key is not None
            made.append(key[0])
        tagged = [{"package_file": number, "tag": "dev", "by": "root", "at": datetime.now(UTC)} for number in made]
        connection.execute(insert(package_file_tags), tagged)
    try:
        yield made
    finally:
        with writing(engine) as connection:
            connection.execute(package_file_tags.delete().where(package_file_tags.c.package_file.in_(made)))
            connection.execute(package_files.delete().where(package_files.c.id.in_(made)))
        engine.dispose()


def apply(known: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """What a mirror knows after an answer that tells of the files that were touched."""
    return {
        kind: {uri: record for uri, record in known[kind].items() if uri not in told["touched"]} | told[kind]
        for kind in ("wanted", "deprocated")
    }


def uri_of(number: int) -> str:
    return f"{PACKAGE_FILE}:{number}:"


@pytest.mark.parametrize("seed", range(4))
def test_the_files_that_were_touched_give_what_asking_gives(server: World, seed: int) -> None:
    draw, name = random.Random(seed), package_of(server, 11)
    with more_files(server, 11, 5) as numbers:
        known, told_of = by_asking(server, name), set[str]()
        for _ in range(12):
            position, touched = ask(server, None)["position"], set()
            for _ in range(draw.randint(1, 4)):
                number = draw.choice(numbers)
                action = draw.choice(["untag", "tag", "deprocate", "undeprocate", "fail", "unfail"])
                arguments = DEV if action in ("tag", "untag") else {}
                # What a rule forbids changes nothing.
                server.call("CALL", f"{uri_of(number)}({action})", arguments)
                touched.add(uri_of(number))
            told = ask(server, position, records=True, touched=True)
            for found in told["records"].get(REPO, {}).values():
                assert touched.issuperset(found["touched"])
                assert set(found["touched"]) >= found["wanted"].keys() | found["deprocated"].keys()
                known = apply(known, found)
                told_of.update(found["touched"])
            assert known == by_asking(server, name)
            # Others get what they got before.
            assert "touched" not in str(ask(server, position, records=True))
            assert ask(server, position, touched=True) == ask(server, position)
        assert len(told_of) > 2


def test_a_file_that_was_deleted_was_touched_and_has_no_record(server: World) -> None:
    with more_files(server, 11, 1) as [number]:
        position, name = ask(server, None)["position"], package_of(server, 11)
        assert server.call("DELETE", uri_of(number)).status == 200
        told = ask(server, position, records=True, touched=True)["records"]
        assert told == {REPO: {name: {"wanted": {}, "deprocated": {}, "touched": [uri_of(number)]}}}


def test_a_change_of_one_file_is_reported_however_many_the_package_has(server: World) -> None:
    with more_files(server, 12, 2 * FILES_LIMIT + 1) as numbers:
        name, position = package_of(server, 12), ask(server, None)["position"]
        for number in numbers[:FILES_LIMIT]:
            act(server, str(number), "untag")
        told = ask(server, position, records=True, touched=True)["records"]
        assert told[REPO][name]["touched"] == [uri_of(number) for number in numbers[:FILES_LIMIT]]
        assert ask(server, position, records=True)["records"] == {}
        for number in numbers[:FILES_LIMIT]:
            act(server, str(number), "tag")
        act(server, str(numbers[-1]), "untag")
        # More than can be told one by one, and more than the package may have.
        assert ask(server, position, records=True, touched=True)["records"] == {}


def test_all_files_are_reported_where_the_touched_ones_are_not_known(server: World) -> None:
    position, name = ask(server, None)["position"], package_of(server, 11)
    change(server, 11)
    whole = ask(server, position, records=True)
    assert ask(server, position, records=True, touched=True) != whole
    engine = open_database(server.data)
    with writing(engine) as connection:
        # An entry of an older server.
        newest = connection.execute(journal.select().order_by(journal.c.id.desc())).first()
        assert newest is not None
        connection.execute(update(journal).where(journal.c.id == newest.id).values(file=None))
    engine.dispose()
    assert ask(server, position, records=True, touched=True) == whole
    assert list(whole["records"][REPO][name]["wanted"]) == [uri_of(11)]


def test_all_files_are_reported_where_one_makes_way_for_another(server: World) -> None:
    engine = open_database(server.data)
    newest_only = admin.NewRepo("newest", "pypi", "dev", ("pypi",), show_only_latest=True)
    admin.save_repo(engine, newest_only)
    admin.save_mirror(engine, "lab", ["pypi-dev", "newest"])
    with more_files(server, 11, 2) as numbers:
        position, name = ask(server, None)["position"], package_of(server, 11)
        act(server, str(numbers[1]), "untag")
        told = ask(server, position, records=True, touched=True)["records"]
        assert list(told["/api/v2/Repo/Repo:newest:"][name]["wanted"]) == [uri_of(numbers[0])]
        assert "touched" not in told["/api/v2/Repo/Repo:newest:"][name]
        assert told[REPO][name]["touched"] == [uri_of(numbers[1])]
    engine.dispose()
