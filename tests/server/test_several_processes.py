"""Several servers on one database, and a database that goes away: nothing is lost, nobody waits in vain."""

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from packrat_demo.build_deb import Deb, build_deb
from packrat_server.serving.running import running
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.journal import newest, note_mirror
from packrat_server.store.postgresql import CHANNEL
from packrat_server.store.tables import packages
from support.postgres import Cluster
from support.world import Answer, World, world

CHANGES = "/api/v2/Repo/Mirror:lab:(changes)"
APT = "/api/v2/Repo/Repo:apt-dev:"
PACKAGE_FILE = "/api/v2/Package/PackageFile"
DEV = {"tag": "/api/v2/Attrib/Tag:dev:"}
RECORD = f"{PACKAGE_FILE}:7:"


@pytest.fixture
def server(tmp_path: Path, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path, new_database()) as made:
        yield made


@contextmanager
def other_process(beside: World, *options: str, descriptors: int = 0) -> Iterator[World]:
    """A second `packrat-server serve` on the same data directory; it must end well, too."""
    process = serving(beside.data, *options, descriptors=descriptors)
    assert process.stderr is not None
    try:
        # A line may come before it: the rpms of the recorded world have no bytes, and the server says so.
        said = ""
        while (found := re.search(r"http://[\d.:]+", said)) is None:
            line = process.stderr.readline()
            assert line, said
            said += line
        made = World(beside.data, found[0], process_id=process.pid)
        # Only when it answers it also listens to signals.
        assert made.call("CALL", "/api/v2/Auth/User(whoami)", who=None).status == 200
        yield made
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "stopped" in said


def serving(data: Path, *options: str, descriptors: int = 0) -> "subprocess.Popen[str]":
    """Start a server; descriptors: how many files it may have open, if not as many as this process."""
    bounds = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []
    command = ["serve", "--data", str(data), "--listen", "127.0.0.1:0", *options]
    line = [*bounds, sys.executable, "-m", "packrat_server.cli", *command]
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True)


def ask(server: World, position: str | None, timeout_s: int = 0) -> Any:
    answer = server.call("CALL", CHANGES, {"position": position, "timeout": timeout_s}, "lab")
    assert answer.status == 200, answer.data
    return answer.value


def tag(server: World, number: int = 7, action: str = "tag") -> Answer:
    return server.call("CALL", f"{PACKAGE_FILE}:{number}:({action})", DEV, "manager")


def together(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all of it at the same time; gives what each gave."""
    results: list[Any] = [None] * len(works)
    at_once = threading.Barrier(len(works))

    def do(index: int) -> None:
        at_once.wait()
        results[index] = works[index]()

    threads = [threading.Thread(target=do, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_change_through_one_server_wakes_who_waits_at_the_other(server: World) -> None:
    with other_process(server) as other:
        position = ask(other, None)["position"]
        got: list[Any] = []
        waiting = threading.Thread(target=lambda: got.append(ask(other, position, 200)))
        waiting.start()
        assert tag(server).status == 200
        waiting.join(60)
    assert got[0]["changes"] == {APT: ["p7"]}


def test_sessions_and_uploads_are_shared(server: World) -> None:
    with other_process(server) as other:
        other.tokens = server.tokens
        server.auth("manager")
        handle = server.upload("shared_1_all.deb", build_deb(Deb("shared", "1", "all"))).value["uri"]
        options = other.call("CALL", f"{PACKAGE_FILE}(distroversionOptions)", {"file": handle}, "manager")
        assert "bookworm" in options.value


def test_one_of_many_that_want_the_same_gets_it_and_the_others_are_told_why(server: World) -> None:
    with other_process(server) as other:
        servers = [server, other] * 4
        for world in servers:
            world.auth("manager")
        answers = together([lambda world=world: tag(world) for world in servers])  # type: ignore[misc]
        assert sorted(answer.status for answer in answers) == [200] + [400] * 7
        assert {answer.value["error"] for answer in answers if answer.status == 400} == {"ALLREADY_TAGGED"}
        deb = build_deb(Deb("once", "1", "all"))
        server.call("CREATE", "/api/v2/Package/Package", {"name": "once"})
        handle = server.upload("once_1_all.deb", deb).value["uri"]
        wanted = {"file": handle, "justification": "", "provenance": "", "distroversion": "bookworm"}
        answers = together(
            [lambda world=world: world.call("CALL", f"{PACKAGE_FILE}(create)", wanted, "manager") for world in servers]  # type: ignore[misc]
        )
        assert sorted(answer.status for answer in answers) == [200] + [400] * 7
    made = [answer.value for answer in answers if answer.status == 200]
    assert (
        server.call("LIST", PACKAGE_FILE, {"package": "/api/v2/Package/Package:once:"}, Filter="package").value == made
    )


def test_a_follower_misses_no_change_of_many_writers(server: World) -> None:
    files = {1: "hello", 2: "myall", 3: "myall", 4: "aslib", 5: "tiny", 6: "p6"}
    with other_process(server) as other:
        servers = [server, other]
        for world in servers:
            world.auth("manager")
            world.auth("lab")
        start = ask(server, None)["position"]
        ended = threading.Event()

        def write(one: World, number: int) -> list[int]:
            actions = ("fail", "unfail", "deprocate", "undeprocate") * 3
            return [one.call("CALL", f"{PACKAGE_FILE}:{number}:({a})", {}, "manager").status for a in actions]

        def follow(one: World) -> list[str]:
            """Every position that was told, in order, until nothing comes any more."""
            positions = [start]
            while True:
                last = ended.is_set()
                told = ask(one, positions[-1])
                if told["position"] != positions[-1]:
                    assert told["changes"], "a position moved on without telling what changed"
                    positions.append(told["position"])
                elif last:
                    return positions

        def write_all() -> list[list[int]]:
            try:
                return together([lambda n=n: write(servers[n % 2], n) for n in files])  # type: ignore[misc]
            finally:
                ended.set()

        written, *followed = together([write_all, lambda: follow(server), lambda: follow(other)])
        assert {status for each in written for status in each} == {200}
        for positions in followed:
            numbers = [int(position.partition("-")[0]) for position in positions]
            assert numbers == sorted(numbers)
        # 12 changes of 6 files, and of two of them in three repositories.
        assert set(ask(server, start)["changes"][APT]) == set(files.values())
        assert followed[0][-1] == followed[1][-1] == ask(server, None)["position"]


def test_the_journal_becomes_visible_in_the_order_of_its_ids(postgresql: Cluster, tmp_path: Path) -> None:
    url = postgresql.new_database()
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    # Who waits must look again after that, also where the database's default is to look once.
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    with world(tmp_path, url) as server:
        engine = open_database(server.data)
        seen: list[int] = []

        def write() -> None:
            with writing(engine) as connection:
                seen.append(newest(connection))
                note_mirror(connection, "prod")

        second = threading.Thread(target=write)
        with reading(engine) as connection:
            before = newest(connection)
        with writing(engine) as first, psycopg.connect(url, autocommit=True) as watching:
            note_mirror(first, "lab")
            second.start()
            # The other has begun; it waits for the one that has the lower id.
            asleep = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while second.is_alive() and watching.execute(asleep).fetchone() is None:
                with reading(engine) as connection:
                    assert newest(connection) == before
            assert second.is_alive()
        second.join()
        assert seen == [before + 1]
        with reading(engine) as connection:
            assert newest(connection) == before + 2
        engine.dispose()


def test_every_session_that_listens_is_notified_once_a_change_can_be_seen(postgresql: Cluster, tmp_path: Path) -> None:
    url = postgresql.new_database()
    with world(tmp_path, url) as server, psycopg.connect(url, autocommit=True) as listening:
        listening.execute(f"LISTEN {CHANNEL}")
        server.auth("manager")
        # A login changes nothing of what mirrors see.
        assert list(listening.notifies(timeout=0)) == []
        before = listening.execute("SELECT max(id) FROM journal").fetchone()
        assert tag(server).status == 200
        assert [notice.channel for notice in listening.notifies(timeout=60, stop_after=1)] == [CHANNEL]
        assert listening.execute("SELECT max(id) FROM journal").fetchone() != before


def test_names_are_listed_in_the_same_order_on_every_database(server: World) -> None:
    names = ["zlib", "Zlib", "a-b", "ab", "a_b", "aB", "Ab", "a.b", "libstdc++", "libstdc"]
    engine = open_database(server.data)
    with writing(engine) as connection:
        now = connection.execute(packages.select()).first()
        assert now is not None
        for name in names:
            connection.execute(packages.insert().values({**now._mapping, "name": name}))
    engine.dispose()
    listed = server.call("LIST", "/api/v2/Package/Package", {}, Count="1000", Id_Only="true").value
    assert [name for name in listed if name in names] == sorted(names)
    assert "ZLIB" not in server.call("LIST", "/api/v2/Package/Package", {}, Count="1000", Id_Only="true").value
    assert server.call("GET", "/api/v2/Package/Package:ZLIB:").status == 404


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_text_that_no_database_takes_is_the_callers_fault(server: World, text: str) -> None:
    for action, arguments in (
        ("(filenameInUse)", {"file_name": text}),
        (":7:(tag)", {"tag": f"/api/v2/Attrib/Tag:{text}:"}),
        (":7:(tag)", {**DEV, "change_control_id": text}),
        ("(distroversionOptions)", {"file": f"djfh://{text}"}),
    ):
        assert server.call("CALL", f"{PACKAGE_FILE}{action}", arguments, "manager").status == 400
    assert server.ask("GET", "/files/a%00b", server.auth("root")).status == 404
    for number in ("99999999999", "99999999999999999", "9" * 30):
        assert server.call("GET", f"{PACKAGE_FILE}:{number}:").status == 404
        assert server.call("CALL", f"{PACKAGE_FILE}:{number}:(fail)", {}).status == 404


def test_a_server_that_comes_later_leaves_what_is_just_arriving(server: World) -> None:
    arriving = [server.data / "incoming" / "part", server.data / "files" / "ab" / "abcd"]
    for path in arriving:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    with other_process(server):
        assert all(path.exists() for path in arriving)


def test_unfinished_uploads_are_removed_when_the_first_server_starts(
    tmp_path: Path, new_database: Callable[[], str | None]
) -> None:
    with world(tmp_path, new_database()) as server:
        part = server.data / "incoming" / "part"
        part.write_bytes(b"x")
    with running(server.data):
        assert not part.exists()


def lasting_threads() -> int:
    """How many threads this process has besides those of pools, which get as many as work at the same time."""
    pools = re.compile(r"(AnyIO worker thread|asyncio_\d+|login_\d+)$")
    return sum(not pools.match(thread.name) for thread in threading.enumerate())


def open_files() -> int:
    """How many files and sockets this process, in which the server runs, has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def follow(server: World, position: str) -> Callable[[], Any]:
    """Wait for a change in a thread, as agents do: again after a fault of the server. Gives what gives the changes."""
    got: list[Any] = []

    def wait() -> None:
        while not got:
            answer = server.call("CALL", CHANGES, {"position": position, "timeout": 200}, "lab")
            if answer.status == 200:
                got.append(answer.value["changes"])

    thread = threading.Thread(target=wait)
    thread.start()

    def told() -> Any:
        thread.join(60)
        return got[0]

    return told


def sessions(url: str) -> int:
    """How many sessions a database has, besides the one that asks."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_database_that_was_away_is_used_again(postgresql: Cluster, tmp_path: Path) -> None:
    url = postgresql.new_database()
    with world(tmp_path, url) as server:
        position = ask(server, None)["position"]
        server.auth("root")
        server.auth("manager")
        told = follow(server, position)
        threads, descriptors = 0, 0
        for action in ("tag", "untag", "tag"):
            postgresql.stop()
            try:
                for verb, target in (("GET", RECORD), ("LIST", PACKAGE_FILE), ("CALL", "/api/v2/Auth/User(whoami)")):
                    answer = server.call(verb, target, None)
                    assert (answer.status, list(answer.value)) == (503, ["message"])
                    assert answer.headers["Retry-After"] == "5"
                    assert answer.headers["Cinp-Version"] == "0.9"
                # Where nothing is known, waiting would be in vain.
                away = server.call("CALL", CHANGES, {"position": position, "timeout": 200}, "lab")
                assert away.status == 503
                assert server.ask("GET", "/files/hello_2.10-3_amd64.deb", server.auth("root")).status == 503
            finally:
                postgresql.start()
            # The first request already.
            assert tag(server, 7, action).status == 200
            assert server.call("GET", RECORD).value["tags"] == (["dev"] if action == "tag" else [])
            if threads == 0:
                threads, descriptors = lasting_threads(), open_files()
        assert told() == {APT: ["p7"]}
        assert lasting_threads() <= threads
        assert open_files() <= descriptors + 8
        assert sessions(url) <= 25
    # PostgreSQL drops only what nobody uses, and gives sessions that are about to end a few seconds to do so.
    postgresql.execute(f"DROP DATABASE {conninfo_to_dict(url)['dbname']}")


def test_a_server_can_be_stopped_while_its_database_is_away_and_says_so_when_it_is_started(
    postgresql: Cluster, tmp_path: Path
) -> None:
    with world(tmp_path, postgresql.new_database()) as server:
        try:
            with other_process(server) as other:
                other.auth("lab")
                postgresql.stop()
                assert other.call("GET", "/api/v2/Repo/Mirror:lab:", None, "lab").status == 503
            process = serving(server.data)
            said = process.communicate(timeout=60)[1].splitlines()
        finally:
            postgresql.start()
    assert process.returncode == 3
    assert len(said) == 1
    assert "can't be reached" in said[0]


def test_a_session_that_postgresql_ended_fails_nobody(postgresql: Cluster, tmp_path: Path) -> None:
    url = postgresql.new_database()
    mine = "datname = current_database() AND pid <> pg_backend_pid()"
    end = f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE {mine}"
    with world(tmp_path, url) as server:
        position = ask(server, None)["position"]
        server.auth("manager")
        postgresql.execute(end, url)
        assert tag(server).status == 200
        assert ask(server, position)["changes"] == {APT: ["p7"]}
        told = follow(server, ask(server, None)["position"])
        postgresql.execute(end, url)
        assert tag(server, 7, "untag").status == 200
        assert told() == {APT: ["p7"]}
