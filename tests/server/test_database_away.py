"""PostgreSQL goes away in the middle of a change: clients ask again where nothing was changed, and get through."""

import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from packrat_demo.build_deb import Deb, write_deb
from packrat_server.admin.new_server import init
from packrat_server.cli.main import main
from packrat_server.serving.running import running
from support.postgres import Cluster
from support.relay import relay_to
from support.stage import packrat_server
from support.world import SECRETS, World, world

_PACKAGES = "/api/v2/Package/Package"
_END = (
    "CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'"
)
_AT_STATEMENT = "CREATE TRIGGER away BEFORE INSERT ON packages FOR EACH ROW EXECUTE FUNCTION end_session()"
_AT_COMMIT = (
    "CREATE CONSTRAINT TRIGGER away AFTER INSERT ON packages DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION end_session()"
)
_SLEEP = (
    "CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN PERFORM pg_sleep(TG_ARGV[0]::float); RETURN NULL; END'"
)


@pytest.fixture
def url(postgresql: Cluster) -> str:
    return postgresql.new_database()


def create(server: World) -> Any:
    return server.call("CREATE", _PACKAGES, {"name": "new"})


@pytest.mark.parametrize(("trigger", "status"), [(_AT_STATEMENT, 503), (_AT_COMMIT, 500)], ids=["statement", "commit"])
def test_a_change_that_was_not_made_may_be_repeated(
    postgresql: Cluster, tmp_path: Path, url: str, trigger: str, status: int
) -> None:
    with world(tmp_path, url) as server:
        server.auth("root")
        postgresql.execute(_END, url)
        postgresql.execute(trigger, url)
        with capture_logs() as logged:
            answer = create(server)
        assert answer.status == status
        # After a commit whose answer is lost, nobody knows.
        assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)
        assert "the server's database can't be used just now" in answer.value["message"]
        assert [line["event"] for line in logged if line["log_level"] == "error"] == ["unanswered"]
        postgresql.execute("DROP TRIGGER away ON packages", url)
        assert create(server).status == 201


def test_an_upload_gets_through_a_restart_of_postgresql(postgresql: Cluster, tmp_path: Path, url: str) -> None:
    path = write_deb(Deb("late", "1", "all"), tmp_path)
    with packrat_server(tmp_path, url) as server, relay_to(server.url) as relay, ThreadPoolExecutor(1) as pool:
        relay.held = "(create)"
        command = ["upload", "--url", relay.url, "--distro", "bookworm", "--tag", "dev", str(path)]
        result = pool.submit(lambda: CliRunner().invoke(main, command, env={"PACKRAT_PASSWORD": server.password}))
        relay.until_asked("(create)")
        postgresql.stop()
        try:
            relay.reset()
            relay.passes.set()
            relay.until_asked("(create)", within_s=20)
        finally:
            postgresql.start()
        assert result.result().exit_code == 0, result.result().output


@contextmanager
def other_process(beside: World) -> Iterator[tuple[World, "subprocess.Popen[str]"]]:
    """A second server on the same data, which the test stops."""
    command = [sys.executable, "-m", "packrat_server", "serve", "--data", str(beside.data), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            url = next(found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+", line)))
            made = World(beside.data, url, process_id=process.pid)
            # Only when it answers it also listens to signals.
            assert made.ask("GET", "/health", {}).status == 200
            yield made, process
        finally:
            process.kill()


def test_a_server_can_be_stopped_while_postgresql_does_not_answer(
    postgresql: Cluster, tmp_path: Path, url: str
) -> None:
    with world(tmp_path, url) as server, ThreadPoolExecutor(2) as pool:
        for who in ("root", "manager"):
            server.auth(who)
        with other_process(server) as (other, process), postgresql.hung():
            other.tokens = server.tokens
            waiting = [
                pool.submit(other.call, "GET", f"{_PACKAGES}:hello:"),
                pool.submit(other.call, "CREATE", _PACKAGES, {"name": "new"}, "manager"),
            ]
            # Both are at the database once nobody else is answered in time.
            assert other.ask("GET", "/health", {}).status == 503
            process.terminate()
            _, said = process.communicate(timeout=60)
            for answer in waiting:
                assert answer.exception() is not None or answer.result().status in (500, 503)
    assert process.returncode == 0, said
    assert "stopped" in said and "Traceback" not in said


def test_a_server_can_be_stopped_while_a_login_waits_for_postgresql(
    postgresql: Cluster, tmp_path: Path, url: str
) -> None:
    with world(tmp_path, url) as server, ThreadPoolExecutor(1) as pool:
        server.auth("manager")
        postgresql.execute(_SLEEP, url)
        postgresql.execute("CREATE TRIGGER away BEFORE UPDATE ON users EXECUTE FUNCTION sleep(600)", url)
        with other_process(server) as (other, process):
            other.tokens = server.tokens
            secrets = {"password": "new", "old_password": SECRETS["manager"]}
            waiting = pool.submit(other.call, "CALL", "/api/v2/Auth/User(change_password)", secrets, "manager")
            with sleeping(url):
                process.terminate()
                _, said = process.communicate(timeout=60)
            assert waiting.exception() is not None
    assert process.returncode == 0, said
    assert "stopped" in said and "Traceback" not in said


def test_housekeeping_that_waits_for_postgresql_holds_up_no_stop(
    postgresql: Cluster, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packrat_server.serving.housekeeping._FIRST_S", 0.0)
    init(tmp_path, url)
    postgresql.execute(_SLEEP, url)
    postgresql.execute("CREATE TRIGGER away BEFORE UPDATE ON sessions EXECUTE FUNCTION sleep(30)", url)
    with ExitStack() as held:
        with running(tmp_path):
            sleepers = held.enter_context(sleeping(url))
        assert sleepers()


@contextmanager
def sleeping(url: str) -> Iterator[Callable[[], list[Any]]]:
    """Wait until a session sleeps in a trigger; gives what lists those that do, which are ended afterwards."""
    find = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    with psycopg.connect(url, autocommit=True) as connection:

        def sleepers() -> list[Any]:
            return connection.execute(f"SELECT pid {find}".encode()).fetchall()

        until = time.monotonic() + 60
        while not sleepers():
            assert time.monotonic() < until, "no session sleeps"
            threading.Event().wait(0.05)
        try:
            yield sleepers
        finally:
            connection.execute(f"SELECT pg_terminate_backend(pid) {find}".encode())


_WAITING = """
import time
from packrat_server.serving import running

async def wait(close):
    time.sleep(3600)

running._close = wait
from packrat_server.cli.main import main
main()
"""


def test_a_stop_ends_although_the_event_loop_itself_waits(tmp_path: Path) -> None:
    init(tmp_path, None)
    serving = ["serve", "--data", str(tmp_path), "--listen", "127.0.0.1:0"]
    with subprocess.Popen([sys.executable, "-c", _WAITING, *serving], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = next(word.removeprefix("url=") for line in process.stderr for word in line.split() if "url=" in word)
        assert urllib.request.urlopen(f"{url}/health", timeout=60).status == 200
        process.terminate()
        assert "stopped" in process.stderr.read()
    assert process.returncode == 0
