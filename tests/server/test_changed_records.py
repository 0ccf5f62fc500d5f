"""`changes` gives the records of a small change: the same that its mirror would get by LIST and GET."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, update

from packrat_server import admin
from packrat_server.api.changed_records import FILES_LIMIT, PACKAGES_LIMIT, TEXT_LIMIT
from packrat_server.store.database import open_database, writing
from packrat_server.store.tables import package_file_tags, package_files
from support.world import World, world

CHANGES = "/api/v2/Repo/Mirror:lab:(changes)"
PACKAGE_FILE = "/api/v2/Package/PackageFile"
REPO = "/api/v2/Repo/Repo:pypi-dev:"
DEV = {"tag": "/api/v2/Attrib/Tag:dev:"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        engine = open_database(made.data)
        admin.save_mirror(engine, "lab", ["pypi-dev"])
        engine.dispose()
        yield made


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
        # Whoever asks as before gets the answer as before.
        assert ask(server, position) == {key: told[key] for key in ("position", "changes")}
        assert ask(server, position, records=False) == ask(server, position)
        assert ask(server, position, "root", records=True) == told
    assert sizes == [(0, 0), (1, 0), (0, 1), (1, 0), (0, 0), (1, 0)]


def test_the_argument_is_described_and_checked(server: World) -> None:
    described = server.call("DESCRIBE", "/api/v2/Repo/Mirror(changes)", None, "lab").value["paramaters"]
    assert described[2] == {"name": "records", "type": "Boolean", "default": False}
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
