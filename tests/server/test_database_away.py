"""PostgreSQL goes away in the middle of a change: clients ask again where nothing was changed, and get through."""

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from packrat_demo.build_deb import Deb, write_deb
from packrat_server.cli.main import main
from support.postgres import Cluster
from support.relay import relay_to
from support.stage import packrat_server
from support.world import World, world

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
