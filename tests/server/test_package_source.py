"""Looking at what a server has: by name from an index, the same from the data directory and through the API."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection, insert, text, update

from packrat_server import admin
from packrat_server.accounts.rights import Role
from packrat_server.cli import main as cli
from packrat_server.promotion.compare import compare
from packrat_server.promotion.find_files import files_query, find_files
from packrat_server.promotion.list_packages import list_packages
from packrat_server.promotion.questions import Comparison, FileQuery
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.journal import read_newest
from packrat_server.store.reports import Report, save_reports
from packrat_server.store.tables import mirrors, package_file_tags, package_files, packages, repos
from support.stage import Server, packrat_server

MANY = 20_000
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[Server]:
    with packrat_server(tmp_path_factory.mktemp("looking"), new_database()) as made:
        engine = open_database(made.data)
        for tag in ("dev", "prod"):
            admin.save_repo(engine, admin.NewRepo(f"apt-{tag}", "apt", tag, ("bookworm",)))
        admin.save_mirror(engine, "lab", ["apt-dev"])
        with writing(engine) as connection:
            fill(connection)
        if engine.dialect.name == "postgresql":
            with writing(engine) as connection:
                connection.execute(text("ANALYZE"))
        engine.dispose()
        yield made


def fill(connection: Connection) -> None:
    """Packages p0, p1, …: ten versions each, all tagged dev, 1.0 also prod; of p7 two are failed and deprocated."""
    stamps = {"created": NOW, "updated": NOW}
    names = [f"p{number}" for number in range(MANY // 10)]
    connection.execute(
        insert(packages), [{"name": name, "deprocated_count": 10, "failed_count": 5, **stamps} for name in names]
    )
    row = {"distro_version": "bookworm", "type": "deb", "arch": "x86_64", "justification": "", "provenance": ""}
    row |= {"size": 1, "created_by": "admin", **stamps}  # type: ignore[dict-item]
    files = [
        row
        | {"package": name, "version": f"1.{n}", "file_name": f"{name}_1.{n}_amd64.deb", "sha256": f"{number:063d}{n}"}
        | {"failed_at": NOW if (name, n) == ("p7", 3) else None, "failed_by": None}
        | {"deprocated_at": NOW if (name, n) == ("p7", 4) else None, "deprocated_by": None}
        for number, name in enumerate(names)
        for n in range(10)
    ]
    connection.execute(insert(package_files), files)
    tagged = [
        {"package_file": number, "tag": tag, "by": "admin", "at": NOW}
        for number in range(1, MANY + 1)
        for tag in (("dev", "prod") if number % 10 == 1 else ("dev",))
    ]
    connection.execute(insert(package_file_tags), tagged)


def called(server: Server, *words: str, remote: bool = False, **environment: str) -> Result:
    place = ["--url", server.url] if remote else ["--data", str(server.data)]
    return CliRunner().invoke(
        cli.main, [*words, *place], env={"PACKRAT_PASSWORD": server.password, "PACKRAT_URL": "", **environment}
    )


def run(server: Server, *words: str, remote: bool = False) -> str:
    done = called(server, *words, remote=remote)
    assert done.exit_code == 0, done.output
    return done.stdout


LOOKS = [
    ("find", "p77"),
    ("find", "p77", "--tag", "prod", "--limit", "2"),
    ("find", "p7", "--state", "failed"),
    ("find", "P7?_1.1_*"),
    ("file", "show", "p7_1.9_amd64.deb"),
    ("file", "list", "--package", "p8"),
    ("package", "list", "p199"),
    ("package", "show", "p7"),
    ("diff", "dev", "prod", "--package", "p7"),
    ("diff", "apt-dev", "apt-prod", "--limit", "3"),
]


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_the_data_directory_and_the_api_give_the_same(server: Server, words: tuple[str, ...]) -> None:
    for form in ((), ("--json",)):
        assert run(server, *words, *form) == run(server, *words, *form, remote=True)
    assert json.loads(run(server, *words, "--json"))


def test_a_name_is_a_package_or_the_beginning_of_a_file_name(server: Server) -> None:
    def found(name: str) -> list[str]:
        return [record["file"] for record in json.loads(run(server, "find", name, "--json"))]

    assert found("p1999") == [f"p1999_1.{n}_amd64.deb" for n in range(10)]
    assert found("p1999_1.5") == ["p1999_1.5_amd64.deb"] == found("*1999_1.5_*") == found("P1999?1.5*")
    assert found(f"{1999:063d}5") == ["p1999_1.5_amd64.deb"]
    assert found("x" * 201) == found("*" + "x*" * 60_000) == []
    assert found("%") == found("_1.5") == found("p1999_1.5%") == []


def test_a_table_has_a_line_a_file_and_says_if_there_are_more(server: Server) -> None:
    done = called(server, "find", "p7", "--limit", "3")
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["file", "package", "version", "distro", "arch", "tags", "state"]
    assert lines[0].split() == ["p7_1.0_amd64.deb", "p7", "1.0", "bookworm", "x86_64", "dev,", "prod", "active"]
    assert len(lines) == 3
    assert "the first 3 are shown" in done.stderr
    assert [line.split()[-1] for line in run(server, "find", "p7_").splitlines()[4:6]] == ["failed", "deprocated"]


@pytest.mark.parametrize(
    ("words", "problem", "argument"),
    [
        (("diff", "dev", "prod", "--distro", "bokworm"), "there is no distribution version 'bokworm'", "distroversion"),
        (("diff", "dev", "prod", "--package", "nope"), "there is no package 'nope'", "package"),
        (("find", "p7", "--tag", "Dev"), "there is no tag 'Dev'", "tag"),
        (("file", "list", "--distro", "\n"), 'there is no distribution version "\\n"', "distroversion"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else None,
)
def test_a_name_that_does_not_exist_is_not_taken_for_one_that_nothing_fits(
    server: Server, words: tuple[str, ...], problem: str, argument: str
) -> None:
    told = called(server, *words)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(f"packrat-server: {words[-2]}: {problem}; there are ")
    told = called(server, *words, remote=True)
    assert (told.exit_code, told.stdout) == (4, "")
    assert told.stderr.startswith(f"packrat-server: {argument}: {problem}, there are ")


@pytest.mark.parametrize(
    "words",
    [
        ("history", "p7", "--limit", "99999999999999999999"),
        ("history", "/api/v2/Repo/Repo:apt-dev:"),
        ("export-events", "--after", "99999999999999999999"),
        ("export-events", "--after", "-1"),
    ],
    ids=" ".join,
)
def test_numbers_out_of_range_are_refused(server: Server, words: tuple[str, ...]) -> None:
    told = called(server, *words)
    assert (told.exit_code, told.stdout) == (2, "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("find", "missing"), "nothing fits"),
        (("package", "list", "missing"), "nothing fits"),
        (("diff", "dev", "dev"), "dev and dev have the same"),
    ],
)
def test_an_empty_table_is_explained(server: Server, words: tuple[str, ...], told: str) -> None:
    done = called(server, *words)
    assert (done.exit_code, done.stderr) == (0, f"{told}\n")
    assert len(done.stdout.splitlines()) == 1


def test_a_file_is_shown_with_the_repositories_that_offer_it(server: Server) -> None:
    def offering(number: int) -> list[str]:
        (record,) = json.loads(run(server, "file", "show", f"p9_1.{number}_amd64.deb", "--json"))
        return list(record["repositories"])

    assert [offering(number) for number in (0, 5, 9)] == [["apt-prod"], [], ["apt-dev"]]
    uri = json.loads(run(server, "file", "show", "p9_1.9_amd64.deb", "--json"))[0]["uri"]
    assert json.loads(run(server, "file", "show", uri, "--json"))[0]["file"] == "p9_1.9_amd64.deb"
    line = called(server, "file", "show", "nothere").stderr
    assert line == "packrat-server: there is no package file 'nothere'; `packrat-server find` looks for names\n"


def test_a_difference_is_shown_by_version(server: Server) -> None:
    head, line = run(server, "diff", "dev", "prod", "--package", "p7").splitlines()
    assert "only in dev" in head
    # Neither the failed nor the deprecated file counts.
    assert line.split() == ["p7", "bookworm", "x86_64", *(f"1.{n}," for n in (1, 2, 5, 6, 7, 8)), "1.9", "-"]
    (group,) = json.loads(run(server, "diff", "apt-dev", "apt-prod", "--package", "p8", "--json"))
    assert [[file["version"] for file in files] for files in group["only"].values()] == [["1.9"], ["1.0"]]
    assert run(server, "diff", "dev", "dev", "--json") == "[]\n"
    for remote, code in ((False, 2), (True, 4)):
        done = called(server, "diff", "dev", "nothere", remote=remote)
        assert done.exit_code == code
        assert "there is neither a tag nor a repository 'nothere'" in done.stderr


def test_repositories_mirrors_and_users_are_listed_without_secrets(server: Server) -> None:
    engine = open_database(server.data)
    admin.save_user(engine, "reader", Role.MANAGER, "a-secret")
    with writing(engine) as connection:
        connection.execute(mirrors.update().values(last_heartbeat=NOW))
    engine.dispose()
    (lab,) = json.loads(run(server, "mirror", "list", "--json"))
    assert (lab["name"], lab["repositories"], lab["last_heartbeat"]) == (
        "lab",
        ["apt-dev"],
        "2026-01-02T03:04:05+00:00",
    )
    assert run(server, "mirror", "list").splitlines()[1].split()[3:] == ["d", "ago", "lab"]
    assert json.loads(run(server, "repo", "show", "apt-dev", "--json"))["files"] == MANY // 10
    dev = json.loads(run(server, "tag-type", "show", "dev", "--json"))
    assert (dev["files"], dev["repositories"]) == (MANY, ["apt-dev"])
    names = [line.split()[0] for line in run(server, "user", "list").splitlines()]
    assert names == ["name", "admin", "reader"]
    for words in (("mirror", "show", "lab"), ("user", "show", "reader")):
        assert not {"psk", "password"} & set(json.loads(run(server, *words, "--json")))
    assert "there is no mirror 'bal'; there are lab" in called(server, "mirror", "show", "bal").stderr


def test_package_set_changes_only_the_named_fields(server: Server) -> None:
    words = ("package", "set", "p5", "--failed-count", "2")
    assert run(server, *words, "--dry-run") == "package p5: failed files kept 5 → 2\n" == run(server, *words)
    assert run(server, *words) == "package p5: nothing changed\n"
    assert run(server, "package", "set", "p5", "--deprocated-count", "7").endswith("deprocated files kept 10 → 7\n")
    shown = json.loads(run(server, "package", "show", "p5", "--json"))
    assert (shown["failed_count"], shown["deprocated_count"]) == (2, 7)
    assert [event["action"] for event in json.loads(run(server, "history", "p5", "--json"))] == ["update"] * 2
    assert "there is no package 'nothere'" in called(server, "package", "set", "nothere").stderr


def test_a_mirror_is_shown_with_what_it_reported(server: Server) -> None:
    def published() -> list[dict[str, Any]]:
        return list(json.loads(run(server, "mirror", "show", "lab", "--json"))["published"])

    assert published() == [{"repo": "apt-dev", "position": None, "digest": None, "at": None}]
    assert "apt-dev never" in run(server, "mirror", "show", "lab")
    engine = open_database(server.data)
    with writing(engine) as connection:
        position = str(read_newest(connection))
        save_reports(connection, "lab", [Report("apt-dev", position, "d" * 64)])
    engine.dispose()
    (report,) = published()
    assert (report["position"], report["digest"]) == (position, "d" * 64)
    assert re.search(r"apt-dev \d+(\.\d)? s ago", run(server, "mirror", "show", "lab"))


def plan(connection: Connection, query: Any) -> str:
    """How the database finds the rows of a query."""
    sql = query.compile(connection.engine, compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {sql}".replace("%", "%%")).all())


@pytest.mark.parametrize(
    "query",
    [
        FileQuery("p777"),
        FileQuery("p777_1.3*"),
        FileQuery("0" * 64),
        FileQuery("p777", tag="dev", state="active"),
        FileQuery(package="p777"),
    ],
)
def test_a_name_is_looked_up_by_an_index(server: Server, query: FileQuery) -> None:
    engine = open_database(server.data)
    with reading(engine) as connection:
        told = plan(connection, files_query(query).order_by(package_files.c.package, package_files.c.id).limit(200))
        assert "SCAN package_files" not in told, told
        assert "Seq Scan on package_files" not in told, told
    engine.dispose()


@pytest.mark.parametrize(
    "words", [("find",), ("file", "show"), ("package", "show"), ("package", "list"), ("history",), ("diff", "dev")]
)
def test_bytes_that_are_no_text_are_reported(server: Server, words: tuple[str, ...]) -> None:
    for remote in (False, True):
        done = called(server, *words, os.fsdecode(b"p\xff"), remote=remote)
        assert done.exit_code == 2, done.output
        assert "is not text in UTF-8" in done.stderr


def test_the_place_that_the_command_line_names_comes_first(server: Server, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    assert called(server, "find", "p77", PACKRAT_URL=nowhere).exit_code == 0
    words = ["find", "p77", "--json"]
    environment = {"PACKRAT_PASSWORD": server.password, "PACKRAT_URL": server.url, "PACKRAT_DATA": str(tmp_path)}
    done = CliRunner().invoke(cli.main, words, env=environment)
    assert done.stdout == run(server, *words)
    done = called(server, "find", "p77", "--url", nowhere)
    assert (done.exit_code, "--url and --data are both given" in done.stderr) == (2, True)


def test_a_server_without_these_actions_is_told_from_a_wrong_name(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from packrat_server.api.schema import MODELS

    actions = MODELS["/api/v2/Package/PackageFile"].actions
    monkeypatch.delitem(actions, "find")
    done = called(server, "find", "p77", remote=True)
    assert (done.exit_code, "it has no action find; only packrat-server" in done.stderr) == (4, True)


def test_found_records_are_bounded(server: Server) -> None:
    engine = open_database(server.data)
    with reading(engine) as connection:
        for limit in (1, 7):
            for found in (
                find_files(connection, FileQuery(limit=limit)),
                list_packages(connection, limit=limit),
                compare(connection, Comparison("dev", "prod", limit=limit)),
            ):
                assert (len(found.records), found.more) == (limit, True)
        assert not list_packages(connection, "p1999").more
        for limit in (9, 10):
            found = find_files(connection, FileQuery(package="p777", limit=limit))
            assert (len(found.records), found.more) == (limit, limit == 9)
    engine.dispose()


def test_letters_of_others_do_not_steer_the_terminal(server: Server) -> None:
    engine = open_database(server.data)
    with writing(engine) as connection:
        # As an earlier version took it.
        connection.execute(update(repos).where(repos.c.name == "apt-dev").values(description="evil \x1b[2J"))
    engine.dispose()
    assert "\x1b" not in run(server, "repo", "show", "apt-dev")
    assert json.loads(run(server, "repo", "show", "apt-dev", "--json"))["description"] == "evil \x1b[2J"


def test_a_server_that_can_not_be_asked_is_reported_with_the_options_of_the_command(server: Server) -> None:
    def refused(*words: str) -> str:
        done = CliRunner().invoke(cli.main, ["find", "hello", *words], env={"PACKRAT_PASSWORD": "x"})
        assert done.exit_code in (2, 3), done.output
        assert "[packrat]" not in done.output
        assert "ca_file" not in done.output
        return done.stderr

    assert "see whether the server is up; if it is, check --url\n" in refused("--url", "http://127.0.0.1:1")
    secure = server.url.replace("http:", "https:")
    assert "if that server has plain HTTP only, check --url\n" in refused("--url", secure)
    assert "--ca-file /nonexistent can't be used: " in refused("--url", secure, "--ca-file", "/nonexistent")


def test_without_a_password_and_a_terminal_the_command_says_how_to_give_one(server: Server) -> None:
    command = [sys.executable, "-m", "packrat_server", "find", "hello", "--url", server.url]
    environment = {name: value for name, value in os.environ.items() if name != "PACKRAT_PASSWORD"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    told = "packrat-server: there is no password of admin; set PACKRAT_PASSWORD, or name a file with --password-file\n"
    assert (done.returncode, done.stderr[-len(told) :]) == (2, told)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "packrat.example.com",
        "http://u:secret@x",
        "http://x:99999",
        "http://x:y",
        "",
        "http://",
        "http://x?a",
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_asked(url: str) -> None:
    for words in (("find", "hello", "--url", url), ("fail", "hello.deb", "--url", url)):
        done = CliRunner().invoke(cli.main, words, env={"PACKRAT_PASSWORD": "x"})
        assert (done.exit_code, "is not the address of a server; give http:// or https://" in done.output) == (2, True)
        assert "secret" not in done.output
