"""Those who only read are answered while the changes or the uploads of others are held up."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event

import psycopg
import pytest
from psycopg import Connection
from sqlalchemy import select
from structlog.testing import capture_logs

from packrat_core.errors import ServerUnavailable
from packrat_server.api import admission
from packrat_server.serving.running import running
from packrat_server.store import postgresql as store_postgresql
from packrat_server.store.blobs import blob_path
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.tables import package_files, uploads
from support.hung_disk import hung_disk
from support.postgres import Cluster
from support.world import Answer, World, world

HEARTBEAT = "/api/v2/Repo/Mirror:lab:(heartbeat)"
FILES = "/api/v2/Package/PackageFile"
CALLS = 60
"""More than a server has threads."""


@pytest.fixture
def server(tmp_path: Path, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path, new_database()) as made:
        for name in ("root", "lab", "manager"):
            made.auth(name)
        yield made


@contextmanager
def asked(server: World, calls: int, target: str, *, who: str, **arguments: object) -> Iterator[list[Future[Answer]]]:
    with ThreadPoolExecutor(calls) as pool:
        yield [pool.submit(server.call, "CALL", target, arguments, who) for _ in range(calls)]


def assert_readers_are_answered(server: World) -> None:
    # The first ones may come before the calls that are held up; of so many, the last ones come after them.
    for _ in range(CALLS):
        assert server.call("GET", f"{FILES}:1:", who="root").status == 200
    assert server.call("LIST", FILES, who="root").status == 200
    assert server.ask("GET", "/health", {}).data == b"ok\n"


def test_while_another_program_writes_to_the_database(server: World) -> None:
    engine = open_database(server.data)
    with ThreadPoolExecutor(1) as pool:
        with writing(engine), asked_outside(pool, server) as changes:
            assert_readers_are_answered(server)
            assert not changes.done()
        assert changes.result() == {200}
    engine.dispose()


@contextmanager
def asked_outside(pool: ThreadPoolExecutor, server: World) -> Iterator[Future[set[int]]]:
    """Ask for many changes, and don't wait for them."""

    def ask() -> set[int]:
        with asked(server, CALLS, HEARTBEAT, who="lab") as answers:
            return {answer.result().status for answer in answers}

    yield pool.submit(ask)


def test_a_change_that_waits_for_others_is_given_up(server: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "WRITER_WAIT_S", 0.1)
    engine = open_database(server.data)
    waiting = admission.WRITERS + 1
    with capture_logs() as logged, ThreadPoolExecutor(waiting) as pool:
        with writing(engine):
            answers = [pool.submit(server.call, "CALL", HEARTBEAT, {}, "lab") for _ in range(waiting)]
            while not any(answer.done() for answer in answers):
                assert server.call("GET", f"{FILES}:1:", who="root").status == 200
        statuses = sorted(answer.result().status for answer in answers)
    assert statuses == [*[200] * admission.WRITERS, 503]
    (refused,) = (answer.result() for answer in answers if answer.result().status == 503)
    assert refused.headers["Retry-After"] == "1"
    assert refused.value == {"message": "the server is busy; try again in 1 s"}
    (told,) = (line["reason"] for line in logged if line["event"] == "unanswered")
    assert told == "changes have waited for others for 0 s; see what else writes to the database, and end it"
    engine.dispose()


def test_while_uploads_are_read_from_a_disk_that_hangs(server: World) -> None:
    handle, path = uploaded_on_a_disk_that_hangs(server)
    options = f"{FILES}(distroversionOptions)"
    with asked(server, CALLS, options, who="manager", file=handle, type=None) as answers:
        try:
            assert_readers_are_answered(server)
            assert not any(answer.done() for answer in answers)
        finally:
            # Its reader finds nothing in it, and the next one waits.
            while not all(answer.done() for answer in answers):
                give_nothing(path)
    assert {answer.result().status for answer in answers} == {400}


def test_an_upload_that_waits_for_the_reading_of_others_is_given_up(
    server: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "INSPECTOR_WAIT_S", 0.1)
    handle, path = uploaded_on_a_disk_that_hangs(server)
    options, waiting = f"{FILES}(distroversionOptions)", admission.INSPECTORS + 1
    with capture_logs() as logged, asked(server, waiting, options, who="manager", file=handle, type=None) as answers:
        try:
            while not any(answer.done() for answer in answers):
                assert server.call("GET", f"{FILES}:1:", who="root").status == 200
        finally:
            while not all(answer.done() for answer in answers):
                give_nothing(path)
    statuses = sorted(answer.result().status for answer in answers)
    assert statuses == [*[400] * admission.INSPECTORS, 503]
    (told,) = (line["reason"] for line in logged if line["event"] == "unanswered")
    assert told.startswith("uploads have waited for others for 0 s; if these are not huge, see whether the disk")


def test_while_files_are_read_from_a_disk_that_hangs(server: World) -> None:
    engine = open_database(server.data)
    with reading(engine) as connection:
        name, sha256 = connection.execute(select(package_files.c.file_name, package_files.c.sha256).limit(1)).one()
    engine.dispose()
    path = blob_path(server.data, sha256)
    path.unlink()
    os.mkfifo(path)
    with ThreadPoolExecutor(CALLS) as pool:
        headers = {**server.auth("manager"), "Range": "bytes=0-"}
        downloads = [pool.submit(server.ask, "GET", f"/files/{name}", headers) for _ in range(CALLS)]
        try:
            assert_readers_are_answered(server)
            assert server.call("CALL", HEARTBEAT, {}, "lab").status == 200
            assert not any(download.done() for download in downloads)
        finally:
            while not all(download.done() for download in downloads):
                give_nothing(path)


@pytest.mark.skipif(os.getuid() != 0 or not Path("/dev/fuse").exists(), reason="only root can mount a disk")
@pytest.mark.parametrize("target", ["/files/hello_2.10-3_amd64.deb", f"{FILES}(bundle)"])
def test_while_a_network_disk_does_not_answer(tmp_path: Path, target: str) -> None:
    with world(tmp_path) as made:
        pass
    with hung_disk(made.data / "files") as disk, running(made.data) as url, ThreadPoolExecutor(CALLS) as pool:
        server = World(made.data, url)
        for name in ("root", "lab"):
            server.auth(name)
        disk.hangs = True
        verb, arguments = ("CALL", {"files": [f"{FILES}:1:"]}) if target.endswith(")") else ("GET", None)
        downloads = [pool.submit(server.call, verb, target, arguments, "root") for _ in range(CALLS)]
        try:
            assert disk.asked.wait(60)
            assert_readers_are_answered(server)
            assert not any(download.done() for download in downloads)
        finally:
            while not all(download.done() for download in downloads):
                disk.recover()


def test_while_the_disk_does_not_tell_its_size(server: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, may_tell = Event(), Event()
    find = os.statvfs

    def hang(path: Path) -> os.statvfs_result:
        asked.set()
        assert may_tell.wait(60)
        return find(path)

    monkeypatch.setattr(os, "statvfs", hang)
    with ThreadPoolExecutor(1) as pool:
        metrics = pool.submit(server.ask, "GET", "/metrics", {})
        try:
            assert asked.wait(60)
            assert_readers_are_answered(server)
            assert not metrics.done()
        finally:
            may_tell.set()
        assert b"packrat_server_disk_size_bytes" in metrics.result().data


def give_nothing(path: Path) -> None:
    """Let the reader that waits for the content of a pipe find nothing in it."""
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def uploaded_on_a_disk_that_hangs(server: World) -> tuple[str, Path]:
    """Upload a file that nobody can read to its end; gives its handle, and its path."""
    handle = server.upload("slow_1_all.deb", b"content").value["uri"]
    engine = open_database(server.data)
    with reading(engine) as connection:
        sha256 = connection.execute(uploads.select()).one().sha256
    engine.dispose()
    path = blob_path(server.data, sha256)
    path.unlink()
    os.mkfifo(path)
    return handle, path


def test_a_postgresql_without_connections_is_reported_with_what_to_do(
    tmp_path: Path, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world(tmp_path, postgresql.new_database()) as server, ExitStack() as taken, ThreadPoolExecutor(CALLS) as pool:
        server.auth("root")
        admin = taken.enter_context(psycopg.connect(postgresql.url(), autocommit=True))
        take_all(postgresql, taken)
        # As long as the calls wait for their answers: on a busy machine, many share few connections for a while.
        monkeypatch.setattr(store_postgresql, "_WAIT_FOR_CONNECTION_S", 60.0)
        with capture_logs() as logged:
            # The few connections that the server has serve all, one after the other.
            answers = [pool.submit(server.call, "GET", f"{FILES}:1:", None, "root") for _ in range(CALLS)]
            assert {answer.result().status for answer in answers} == {200}
        assert not [line for line in logged if line["event"] == "unanswered"]
        monkeypatch.setattr(store_postgresql, "_WAIT_FOR_CONNECTION_S", 0.5)
        with capture_logs() as logged:
            refused = refused_once_it_has_none(server, postgresql, admin, taken)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        reasons = {line["reason"] for line in logged if line["event"] == "unanswered"}
        assert all("too many clients" in reason and "max_connections" in reason for reason in reasons)
        # In another language, it is known by what it says to everybody.
        with monkeypatch.context() as patched:
            patched.setattr(store_postgresql, "_NO_CONNECTION_WORDS", ())
            refused = refused_once_it_has_none(server, postgresql, admin, taken)
            assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
            take_all(postgresql, taken)
            told = store_postgresql.refusal(postgresql.url(), psycopg.OperationalError(""))
        assert isinstance(told, ServerUnavailable)
        assert "max_connections" in told.hint
        taken.close()
        assert server.call("GET", f"{FILES}:1:", who="root").status == 200


def refused_once_it_has_none(server: World, postgresql: Cluster, admin: Connection, taken: ExitStack) -> Answer:
    """End the server's connections and take their places, until it gets none in time."""
    while True:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'packrat-server'"
        )
        take_all(postgresql, taken)
        answer = server.call("GET", f"{FILES}:1:", who="root")
        if answer.status == 503:
            return answer


def take_all(postgresql: Cluster, taken: ExitStack) -> None:
    with suppress(psycopg.OperationalError):
        while True:
            taken.enter_context(psycopg.connect(postgresql.url()))


def test_readers_do_not_wait_long_for_a_table_that_others_lock(tmp_path: Path, postgresql: Cluster) -> None:
    url = postgresql.new_database()
    with world(tmp_path, url) as server, ThreadPoolExecutor(CALLS) as pool:
        server.auth("root")
        with psycopg.connect(url) as other, capture_logs() as logged:
            other.execute("LOCK TABLE packages IN ACCESS EXCLUSIVE MODE")
            answers = [pool.submit(server.call, "LIST", "/api/v2/Package/Package", None, "root") for _ in range(5)]
            refused = [answer.result() for answer in answers]
            other.rollback()
        assert {(answer.status, answer.headers["Retry-After"]) for answer in refused} == {(503, "5")}
        reasons = [line["reason"] for line in logged if line["event"] == "unanswered"]
        assert len(reasons) == 5 and all("lock timeout" in reason and "pg_locks" in reason for reason in reasons)
        assert server.call("LIST", "/api/v2/Package/Package", None, "root").status == 200


def test_a_change_waits_for_another_one_longer_than_readers_wait(
    tmp_path: Path, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = store_postgresql.SESSION
    monkeypatch.setattr(store_postgresql, "SESSION", session.replace("lock_timeout = '5s'", "lock_timeout = '50ms'"))
    url = postgresql.new_database()
    waits = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory' "
        "AND now() - query_start > '500 ms'"
    )
    with world(tmp_path, url) as server, ThreadPoolExecutor(1) as pool, psycopg.connect(url, autocommit=True) as other:
        engine = open_database(server.data)
        with writing(engine):
            change = pool.submit(server.call, "CALL", HEARTBEAT, {}, "lab")
            while not change.done() and other.execute(waits).fetchone() != (1,):
                pass
        assert change.result().status == 200
        engine.dispose()
