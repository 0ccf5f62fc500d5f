"""Prometheus reads what we write, from the file and from the port."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.model.records import Repo
from packrat_agent.state.facts import KeyInUse, LastFullSync, ScanProgress, ScanRound, ServerHealth, Started
from packrat_agent.state.store import Store
from packrat_agent.status import prometheus
from packrat_agent.status.prometheus import collect, keep_metrics_served, serving_metrics
from packrat_agent.status.values import Status
from packrat_core.aio import serve_http
from packrat_core.errors import ConfigError
from support.mirror_conf import write_mirror_conf
from support.ports import has_ipv6, held_port

_DOC = (Path(__file__).parents[3] / "docs/operations.md").read_text()


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """A mirror with one repository of a troublesome name, all its values known."""
    (tmp_path / "www").mkdir()
    metrics = f"metrics_file: {tmp_path}/packrat.prom\nmetrics_listen: 9273\n"
    path = write_mirror_conf(tmp_path, name="prod", mirror=metrics)
    store = Store(tmp_path / "state/state.db")
    store.repos.save([Repo('a "b"\\c', "", "a", "apt", ())])
    for fact in (
        Started(pid=1, host=None, at=1000, version="1"),
        ServerHealth(url=None, up=True, since=2000, reason=None),
        LastFullSync(began=None, ended=3, seconds=4, files=5, bytes=6, damaged=7, foreign=8, complete=True),
        ScanProgress(began=None, files=1, bytes=2, of_files=3),
        ScanRound(began=None, ended=9, position=None, bytes=None),
        KeyInUse("A", expires=5000),
    ):
        store.facts.write(fact)
    store.facts.update_repo('a "b"\\c', checked=10, published=11, behind_since=time.time() - 600, held="x")
    # A stopped agent tells of no scan: let another host hold the database.
    (tmp_path / "state/state.db.lock.holder").write_text('{"pid": 7, "host": "other"}')
    yield load(path)
    store.close()


def _parse(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def _value(families: dict[str, Metric], name: str, **labels: str) -> float:
    [value] = [sample.value for sample in families[name].samples if labels.items() <= sample.labels.items()]
    return value


def test_the_file_has_all_figures(config: Config) -> None:
    collect(config)
    path = config.mirror.metrics_file
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o644
    told = _parse(path.read_text())
    assert _value(told, "packrat_agent_running") == 0
    assert _value(told, "packrat_agent_server_up") == 1
    assert _value(told, "packrat_agent_full_pass_damaged_files") == 7
    assert _value(told, "packrat_agent_repo_lag_seconds", repo='a "b"\\c') == pytest.approx(600, abs=60)
    assert _value(told, "packrat_agent_repo_held", repo='a "b"\\c') == 1
    assert _value(told, "packrat_agent_repo_files", state="refused", kind="apt") == 0
    assert _value(told, "packrat_agent_key_expires_timestamp_seconds") == 5000
    assert all(family.type == "gauge" and family.documentation for family in told.values())
    assert [file.name for file in path.parent.iterdir() if "prom" in file.name] == ["packrat.prom"]


def test_all_figures_are_documented_and_no_other(config: Config) -> None:
    collect(config)
    assert config.mirror.metrics_file is not None
    listed = [line.split("|")[1] for line in _DOC.splitlines() if line.startswith("| `packrat_agent_")]
    documented = {part.strip().strip("`").partition("{")[0] for line in listed for part in line.split(", `")}
    assert documented == set(_parse(config.mirror.metrics_file.read_text()))


def test_without_a_file_nothing_is_written(config: Config, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    collect(replace(config, mirror=replace(config.mirror, metrics_file=None)))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failed_write_is_logged_once_and_leaves_the_old_file(config: Config, tmp_path: Path) -> None:
    nowhere = replace(config, mirror=replace(config.mirror, metrics_file=tmp_path / "no/packrat.prom"))
    assert "No such file or directory" in (collect(nowhere) or "")
    (tmp_path / "no").mkdir()
    assert collect(nowhere) is None
    assert collect(config) is None
    assert config.mirror.metrics_file is not None
    written = config.mirror.metrics_file.read_bytes()
    config.mirror.state_db.unlink()
    assert "no state database" in (collect(config) or "")
    assert config.mirror.metrics_file.read_bytes() == written


def _at(config: Config, listen: str) -> Config:
    return replace(config, mirror=replace(config.mirror, metrics_listen=listen))


_NO_IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("[::1]", marks=_NO_IPV6)])
def test_the_port_tells_the_same_as_the_file(config: Config, host: str) -> None:
    async def scrape() -> tuple[str, str, int, int]:
        async with serving_metrics(_at(config, f"{host}:0")) as port, aiohttp.ClientSession() as client:
            async with client.get(f"http://{host}:{port}/metrics") as answer:
                text, kind = await answer.text(), answer.headers["Content-Type"]
            async with client.get(f"http://{host}:{port}/") as other:
                missing = other.status
            config.mirror.state_db.unlink()
            async with client.get(f"http://{host}:{port}/metrics") as broken:
                return text, kind, missing, broken.status

    collect(config)
    text, kind, missing, broken = asyncio.run(scrape())
    assert config.mirror.metrics_file is not None
    assert set(_parse(text)) == set(_parse(config.mirror.metrics_file.read_text()))
    assert kind.startswith("text/plain; version=0.0.4")
    assert (missing, broken) == (404, 503)


def test_without_a_port_none_is_opened(config: Config) -> None:
    async def serve() -> int | None:
        async with serving_metrics(replace(config, mirror=replace(config.mirror, metrics_listen=None))) as port:
            return port

    assert asyncio.run(serve()) is None


def test_a_port_in_use_is_reported(config: Config) -> None:
    async def serve(port: int) -> None:
        async with serving_metrics(_at(config, f"127.0.0.1:{port}")):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="can't be listened on"):
        asyncio.run(serve(taken.getsockname()[1]))


def test_a_port_in_use_is_reported_once_and_had_as_soon_as_it_is_free(config: Config) -> None:
    async def serve(port: int, taken: socket.socket) -> int:
        there = _at(config, f"127.0.0.1:{port}")
        serving = asyncio.ensure_future(keep_metrics_served(there, told.append, again_s=0.01))
        try:
            async with asyncio.timeout(30), aiohttp.ClientSession() as client:
                for _ in range(20):
                    await asyncio.wait([serving], timeout=0.01)
                taken.close()
                while True:
                    with suppress(aiohttp.ClientConnectionError):
                        async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
                            return answer.status
                    await asyncio.wait([serving], timeout=0.01)
        finally:
            serving.cancel()

    told: list[str | None] = []
    with held_port() as port, socket.create_server(("127.0.0.1", port)) as taken:
        assert asyncio.run(serve(port, taken)) == 200
    *before, after = told
    assert after is None
    assert before
    assert all(reason is not None and "the port is in use" in reason for reason in before)


def test_what_nobody_foresaw_is_reported_and_tried_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but these figures would stand still, so nobody would notice that they do."""
    real, failed = prometheus.render_metrics, threading.Event()

    def fail_at_first(status: Status) -> bytes:
        if not failed.is_set():
            raise ValueError("nobody foresaw this")
        return real(status)

    @asynccontextmanager
    async def fail_once(*given: Any) -> AsyncIterator[int]:
        if not failed.is_set():
            failed.set()
            raise ValueError("nobody foresaw this")
        async with serve_http.serving_http(*given) as bound:
            served.set()
            yield bound

    async def serve() -> None:
        serving = asyncio.ensure_future(keep_metrics_served(_at(config, "127.0.0.1:0"), told.append, again_s=0.0))
        async with asyncio.timeout(30):
            await served.wait()
        assert not serving.done()
        serving.cancel()

    monkeypatch.setattr(prometheus, "render_metrics", fail_at_first)
    monkeypatch.setattr(prometheus, "serving_http", fail_once)
    served = asyncio.Event()
    told: list[str | None] = [collect(config)]
    asyncio.run(serve())
    assert collect(config) is None
    assert config.mirror.metrics_file is not None
    assert "packrat_agent_info" in config.mirror.metrics_file.read_text()
    assert [reason is None for reason in told] == [False, False, True]
    expected = "internal error, please report it: ValueError('nobody foresaw this')"
    assert all(expected in reason for reason in told if reason is not None)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("metrics_listen: 0.0.0.0:9273", "a port of this machine"),
        ("metrics_listen: repo.example.com:9273", "a port of this machine"),
        ("metrics_listen: 127.0.0.1:0", "a port of this machine"),
        ("metrics_file: /var/lib/node/packrat.txt", "must end with .prom"),
        ("metrics_file: /var/www/repo/packrat.prom", "lies in root_dir"),
    ],
)
def test_what_can_not_be_served_is_refused(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text(f"[packrat]\nhost: x\nname: p\n[mirror]\nroot_dir: /var/www/repo\nstate_db: /x/state.db\n{line}\n")
    with pytest.raises(ConfigError, match=fault):
        load(path)
