"""What mirrors report that they have published, and where a file is because of that."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select

from packrat_server import admin
from packrat_server.admin.distro_versions import GivenDistro, save_distro
from packrat_server.cli import main as cli
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.journal import prune
from packrat_server.store.reports import read_reports
from packrat_server.store.tables import package_file_tags, package_files
from support.world import Answer, World, world

MIRROR = "/api/v2/Repo/Mirror"
PACKAGE_FILE = "/api/v2/Package/PackageFile"
HELLO = "hello_2.10-3_amd64.deb"
DIGEST = "ab" * 32
APT = "/api/v2/Repo/Repo:apt-dev:"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        yield made


def position(server: World, who: str = "lab") -> str:
    asked = {"position": None, "timeout": 0}
    return str(server.call("CALL", f"{MIRROR}:{who}:(changes)", asked, who).value["position"])


def report(server: World, who: str, repo: str, at: str, mirror: str = "", **other: Any) -> Answer:
    entry = {"repo": f"/api/v2/Repo/Repo:{repo}:", "position": at, "digest": DIGEST, **other}
    return server.call("CALL", f"{MIRROR}:{mirror or who}:(report)", {"published": [entry]}, who)


def where(server: World, file_name: str = HELLO) -> dict[tuple[str, str], bool | None]:
    answer = server.call("CALL", f"{PACKAGE_FILE}(where)", {"file_name": file_name}, "reader")
    assert answer.status == 200, answer.data
    assert all((place["reported_at"] is None) is (place["published"] is False) for place in answer.value)
    return {(place["mirror"].split(":")[1], place["repo"].split(":")[1]): place["published"] for place in answer.value}


def act(server: World, number: int, action: str, tag: str = "") -> None:
    arguments = {"tag": f"/api/v2/Attrib/Tag:{tag}:", "change_control_id": "x"} if tag else {}
    assert server.call("CALL", f"{PACKAGE_FILE}:{number}:({action})", arguments, "manager").status == 200


def test_a_file_is_where_a_mirror_has_reported_what_came_after_it(server: World) -> None:
    everywhere = {("lab", "apt-dev"): False, ("lab", "apt-stage"): False, ("prod", "apt-prod"): False}
    assert where(server) == everywhere
    assert report(server, "lab", "apt-dev", position(server)).status == 200
    assert where(server) == {**everywhere, ("lab", "apt-dev"): True}
    # A change of another package is none of this file.
    act(server, 2, "fail")
    assert where(server)["lab", "apt-dev"]
    act(server, 1, "deprocate")
    assert where(server) == {}
    act(server, 1, "undeprocate")
    assert where(server) == everywhere
    assert report(server, "lab", "apt-dev", position(server)).status == 200
    assert where(server) == {**everywhere, ("lab", "apt-dev"): True}


def test_the_command_says_the_same(server: World) -> None:
    report(server, "prod", "apt-prod", position(server, "prod"))

    def run(name: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli.main, ["where", name, "--data", str(server.data)])
        return done.exit_code, done.output

    code, said = run(HELLO)
    lines = said.splitlines()
    assert code == 0
    assert (lines[0], lines[2]) == ("lab apt-dev: not published yet", "lab apt-stage: not published yet")
    prefix = "prod apt-prod: published, as reported at 20"
    assert lines[1][: len(prefix)] == prefix
    code, said = run("nowhere\x1b[2J.deb")
    assert (code, "no repository of a mirror offers" in said, "\x1b" in said) == (2, True, False)


def test_the_command_reads_the_data_or_asks_the_server_and_gives_json(server: World) -> None:
    # Of two distribution versions, so that the lines must tell them apart.
    engine = open_database(server.data)
    with writing(engine) as connection:
        row = connection.execute(select(package_files).where(package_files.c.file_name == HELLO)).one()._asdict()
        connection.execute(insert(package_files).values({**row, "id": 900, "distro_version": "trusty"}))
        tag = {"package_file": 900, "tag": "dev", "by": "root", "at": row["created"]}
        connection.execute(insert(package_file_tags).values(tag))
    engine.dispose()
    report(server, "lab", "apt-stage", position(server))

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli.main, ["where", HELLO, *words], env={"PACKRAT_PASSWORD": "reader_pw"})
        assert done.exit_code == 0, done.output
        return done.output

    places = (("--data", str(server.data)), ("--url", server.url, "--user", "reader"))
    told, asked = (run(*place) for place in places)
    assert told == asked
    assert [line.partition(":")[0] for line in told.splitlines()] == [
        *("lab apt-dev (bookworm)", "lab apt-dev (trusty)"),
        *("prod apt-prod", "lab apt-stage"),
    ]
    as_json, asked = (run(*place, "--json") for place in places)
    assert as_json == asked
    assert [place["published"] for place in json.loads(as_json)] == [False, False, False, True]


def test_a_yanked_file_is_still_there(server: World) -> None:
    tag = {"tag": "/api/v2/Attrib/Tag:dev:"}
    server.call("CALL", f"{PACKAGE_FILE}:11:(tag)", tag, "manager")
    assert where(server, "p11_11.x") == {("lab", "pypi-dev"): False}
    report(server, "lab", "pypi-dev", position(server))
    act(server, 11, "deprocate")
    assert where(server, "p11_11.x") == {("lab", "pypi-dev"): False}
    report(server, "lab", "pypi-dev", position(server))
    assert where(server, "p11_11.x") == {("lab", "pypi-dev"): True}


def test_a_report_is_a_heartbeat_and_replaces_the_one_before(server: World) -> None:
    first = position(server)
    report(server, "lab", "apt-dev", first)
    assert server.call("GET", f"{MIRROR}:lab:", None, "lab").value["last_heartbeat"] is not None
    act(server, 7, "tag", "dev")
    second = position(server)
    report(server, "lab", "apt-dev", second, digest="cd" * 32)
    engine = open_database(server.data)
    with reading(engine) as connection:
        reports = read_reports(connection, "lab")
    assert [entry["repo"] for entry in reports][:2] == ["apt-dev", "apt-stage"]
    assert (reports[0]["position"], reports[0]["digest"]) == (second, "cd" * 32)
    # What comes late says less.
    report(server, "lab", "apt-dev", first)
    with reading(engine) as connection:
        assert read_reports(connection, "lab") == reports
    assert reports[1] == {"repo": "apt-stage", "position": None, "digest": None, "at": None}
    engine.dispose()


def test_a_mirror_reports_for_itself_alone_and_nobody_for_it(server: World) -> None:
    at = position(server)
    assert report(server, "lab", "apt-prod", position(server, "prod"), "prod").status == 404
    for who, status in (("manager", 403), ("root", 403), (None, 403)):
        assert report(server, who, "apt-dev", at, "lab").status == status  # type: ignore[arg-type]
    # What is not its own, and a position that nobody gave, count for nothing.
    assert report(server, "lab", "apt-prod", at).status == 200
    assert report(server, "lab", "apt-dev", "999999-abcd").status == 200
    assert not any(where(server).values())


def test_a_report_that_can_not_be_read_is_refused(server: World) -> None:
    good = {"repo": APT, "position": position(server), "digest": DIGEST}
    wrongs: list[dict[str, Any]] = [
        *({"position": "x"}, {"position": "1-g"}, {"digest": "ab"}, {"digest": 1}),
        *({"repo": "apt-dev"}, {"repo": None}, {"repo": "/api/v2/Repo/Mirror:lab:"}),
    ]
    for many in (*([{**good, **wrong}] for wrong in wrongs), [{}] * 501, ["x"], [{}]):
        answer = server.call("CALL", f"{MIRROR}:lab:(report)", {"published": many}, "lab")
        assert (answer.status, list(answer.value)) == (400, ["published"]), many
    assert not any(where(server).values())


def test_the_reports_of_a_mirror_or_repository_go_with_it(server: World) -> None:
    for repo in ("apt-dev", "apt-stage"):
        report(server, "lab", repo, position(server))
    engine = open_database(server.data)
    admin.remove_repo(engine, "apt-dev")
    admin.save_repo(engine, admin.NewRepo("apt-dev", "apt", "dev", ("bookworm",), show_only_latest=False))
    admin.set_mirror(engine, "lab", ["apt-dev", "apt-stage"])
    assert (where(server)["lab", "apt-dev"], where(server)["lab", "apt-stage"]) == (False, True)
    admin.remove_mirror(engine, "lab")
    admin.set_mirror(engine, "lab", ["apt-stage"])
    engine.dispose()
    assert where(server) == {("lab", "apt-stage"): False, ("prod", "apt-prod"): False}


def test_a_distribution_version_that_is_added_is_not_published_by_an_earlier_report(server: World) -> None:
    engine = open_database(server.data)
    others = ("trusty", "xenial")
    admin.save_repo(engine, admin.NewRepo("apt-dev", distro_versions=others))
    before = position(server)
    report(server, "lab", "apt-dev", before)
    assert ("lab", "apt-dev") not in where(server)
    admin.save_repo(engine, admin.NewRepo("apt-dev", distro_versions=(*others, "bookworm")))
    engine.dispose()
    assert where(server)["lab", "apt-dev"] is False
    # Such as one that was on its way already.
    report(server, "lab", "apt-dev", before)
    assert where(server)["lab", "apt-dev"] is False
    report(server, "lab", "apt-dev", position(server))
    assert where(server)["lab", "apt-dev"] is True


def test_files_that_get_another_address_are_not_published_by_an_earlier_report(server: World) -> None:
    report(server, "lab", "apt-dev", position(server))
    assert where(server)["lab", "apt-dev"] is True
    engine = open_database(server.data)
    for version in ("twelve", "12"):
        save_distro(engine, GivenDistro("bookworm", version=version))
        assert where(server)["lab", "apt-dev"] is False
        report(server, "lab", "apt-dev", position(server))
        assert where(server)["lab", "apt-dev"] is True
    engine.dispose()


def test_a_change_of_one_repository_leaves_the_reports_of_the_others(server: World) -> None:
    for repo in ("apt-dev", "apt-stage"):
        report(server, "lab", repo, position(server))
    engine = open_database(server.data)
    admin.save_repo(engine, admin.NewRepo("apt-stage", description="Stage"))
    engine.dispose()
    assert (where(server)["lab", "apt-dev"], where(server)["lab", "apt-stage"]) == (True, False)


def test_a_repository_that_a_mirror_gets_back_is_not_published_until_it_says_so(server: World) -> None:
    engine = open_database(server.data)
    before = position(server)
    report(server, "lab", "apt-dev", before)
    admin.set_mirror(engine, "lab", ["apt-stage"])
    admin.set_mirror(engine, "lab", ["apt-dev", "apt-stage"])
    with reading(engine) as connection:
        assert [each["at"] for each in read_reports(connection, "lab")] == [None, None]
    engine.dispose()
    assert where(server)["lab", "apt-dev"] is False
    report(server, "lab", "apt-dev", before)
    assert where(server)["lab", "apt-dev"] is False


def test_positions_before_the_journal_are_unknown(server: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at = position(server)
    for repo in ("apt-dev", "apt-stage"):
        report(server, "lab", repo, at)
    act(server, 1, "untag", "prod")
    act(server, 1, "untag", "stage")
    act(server, 1, "tag", "stage")
    assert where(server) == {("lab", "apt-dev"): True, ("lab", "apt-stage"): False}
    engine = open_database(server.data)
    monkeypatch.setattr("packrat_server.store.journal._KEPT_ROWS", 3)
    for _ in range(2):
        act(server, 2, "fail")
        act(server, 2, "unfail")
    with writing(engine) as connection:
        prune(connection)
    engine.dispose()
    assert where(server) == {("lab", "apt-dev"): None, ("lab", "apt-stage"): None}
    said = CliRunner().invoke(cli.main, ["where", HELLO, "--data", str(server.data)]).output.splitlines()
    told = r"lab apt-dev: not known: reported at 20\S+ \S+ UTC, and the journal doesn't go back to then"
    assert re.fullmatch(told, said[0])
    report(server, "lab", "apt-dev", position(server))
    assert where(server) == {("lab", "apt-dev"): True, ("lab", "apt-stage"): None}
