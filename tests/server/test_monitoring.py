"""/health and /metrics: whether the server is well, for everybody; who is there, for those who may know."""

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from click.testing import CliRunner

from packrat_server.api import monitoring
from packrat_server.api.addresses import TrustedProxies
from packrat_server.api.admission import IDENTIFIED_AT_ONCE
from packrat_server.api.serve_options import ServeOptions
from packrat_server.cli import main as cli
from packrat_server.serving.running import running
from support.ports import has_ipv6
from support.postgres import Cluster
from support.world import World, world

LINE = re.compile(r'(# (HELP|TYPE) packrat_server_\w+ .+|packrat_server_\w+(\{\w+="[^"]*"\})? [0-9.]+)')
BEHIND = ServeOptions(trusted_proxies=TrustedProxies("127.0.0.1"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), None, BEHIND) as made:
        yield made


def test_a_server_that_is_well_says_so_to_everybody(server: World) -> None:
    for headers in ({}, {"X-Forwarded-For": "10.1.2.3"}):
        answer = server.ask("GET", "/health", headers)
        assert (answer.status, answer.data) == (200, b"ok\n")


def test_the_metrics_count_answers_and_name_the_mirrors(server: World) -> None:
    server.call("CALL", "/api/v2/Repo/Mirror:lab:(heartbeat)", {}, "lab")
    lines = server.ask("GET", "/metrics", {}).data.decode().splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    told = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}
    assert told["packrat_server_database_up"] == 1
    assert told["packrat_server_package_files"] == 45
    assert told['packrat_server_requests_total{status="200"}'] >= 2
    assert told['packrat_server_mirror_last_heartbeat_timestamp_seconds{mirror="lab"}'] > 1e9
    assert told['packrat_server_mirror_last_heartbeat_timestamp_seconds{mirror="prod"}'] == 0


def test_others_get_no_metrics(server: World) -> None:
    assert server.ask("GET", "/metrics", {"X-Forwarded-For": "10.1.2.3"}).status == 403
    for options, status in (
        # Behind a proxy that is not named, everybody seems to be here.
        (ServeOptions(), 403),
        (replace(BEHIND, metrics_from=TrustedProxies("10.0.0.0/8")), 200),
    ):
        with running(server.data, options=options) as url:
            answer = World(server.data, url).ask("GET", "/metrics", {"X-Forwarded-For": "10.1.2.3"})
            assert answer.status == status
    done = CliRunner().invoke(cli.main, ["serve", "--metrics-from", "x", "--data", str(server.data)])
    assert (done.exit_code, "--metrics-from: " in done.output) == (2, True)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_the_metrics_are_answered_over_ipv6_to_the_exact_address(server: World) -> None:
    with running(server.data, "::1", options=replace(BEHIND, trusted_proxies=TrustedProxies("::1"))) as url:
        here = World(server.data, url)
        assert url.startswith("http://[::1]:")
        assert b"packrat_server_database_up 1\n" in here.ask("GET", "/metrics", {}).data
        # Of the same network of 64 bits as this machine's address.
        assert here.ask("GET", "/metrics", {"X-Forwarded-For": "::2"}).status == 403
    named = replace(BEHIND, metrics_from=TrustedProxies("2001:db8::7,2001:db8:1::/48"))
    with running(server.data, options=named) as url:
        asked = {
            address: World(server.data, url).ask("GET", "/metrics", {"X-Forwarded-For": address}).status
            for address in ("2001:db8::7", "2001:db8::8", "[2001:db8:1:2::3]:443", "2001:db8:2::1", "::1")
        }
    assert list(asked.values()) == [200, 403, 200, 403, 403]


def test_a_database_that_is_away_is_reported(postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    with world(tmp_path_factory.mktemp("world"), postgresql.new_database()) as server:
        postgresql.stop()
        try:
            assert server.ask("GET", "/health", {}).status == 503
            assert b"packrat_server_database_up 0\n" in server.ask("GET", "/metrics", {}).data
        finally:
            postgresql.start()
        assert server.ask("GET", "/health", {}).status == 200


def test_a_database_that_hangs_is_told_in_time_and_costs_no_thread_a_question(
    postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with world(tmp_path_factory.mktemp("world"), postgresql.new_database()) as server:
        assert server.ask("GET", "/health", {}).status == 200
        with postgresql.hung(), ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(server.ask, "GET", "/health", {}) for _ in range(8)]
            assert {answer.result().status for answer in asked} == {503}
            told = [threads.submit(server.ask, "GET", "/metrics", {}) for _ in range(8)]
            assert all(b"packrat_server_database_up 0\n" in answer.result().data for answer in told)
        assert server.ask("GET", "/health", {}).status == 200


def test_a_session_that_hangs_alone_is_left_behind(
    postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "_HEALTH_LIMIT_S", 5.0)
    url = postgresql.new_database()
    of_looks = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'packrat-server'"
        " AND query NOT ILIKE '%listen%'"
    )
    with (
        world(tmp_path_factory.mktemp("world"), url) as server,
        psycopg.connect(url, autocommit=True) as observer,
    ):
        assert server.ask("GET", "/health", {}).status == 200
        (hung, *others) = [row[0] for row in observer.execute(of_looks).fetchall()]
        os.kill(hung, signal.SIGSTOP)
        try:
            # The looks take turns with the sessions.
            asked = [server.ask("GET", "/health", {}).status for _ in range(2 * len(others) + 4)]
        finally:
            os.kill(hung, signal.SIGCONT)
        assert asked.count(503) == 1
        assert asked[-1] == 200


def test_health_is_told_while_all_places_for_unknown_tokens_are_taken(
    postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    url = postgresql.new_database()
    made_up = {"Auth-Id": "manager", "Auth-Token": "x" * 40}
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass"
    with (
        world(tmp_path_factory.mktemp("world"), url) as server,
        ThreadPoolExecutor(IDENTIFIED_AT_ONCE) as threads,
        psycopg.connect(url) as other,
        psycopg.connect(url, autocommit=True) as observer,
    ):
        other.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        path = "/api/v2/Repo/Mirror:lab:"
        strangers = [threads.submit(server.ask, "GET", path, made_up) for _ in range(IDENTIFIED_AT_ONCE)]
        while observer.execute(waiting).fetchone() != (IDENTIFIED_AT_ONCE,):
            assert not any(stranger.done() for stranger in strangers)
        assert server.ask("GET", "/health", {}).status == 200
        assert not any(stranger.done() for stranger in strangers)
