"""A mirror behind the proxies that people have: tinyproxy and squid on the way, HAProxy and nginx before the server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb, build_deb
from support.original_server import OriginalServer, original_server
from support.real_proxies import REAL_PROXIES, running_real_proxy
from support.stage import Server, Stage, daemon


@contextmanager
def behind(name: str, mirror: Stage, server_url: str) -> Iterator[str]:
    """Put a proxy between a mirror's agent and its server; gives the proxy's URL."""
    proxy = REAL_PROXIES[name]
    with running_real_proxy(proxy, mirror.directory / "proxy", server_url) as url:
        mirror.server.url = server_url if proxy.is_forward else url
        mirror.write_config()
        if proxy.is_forward:
            mirror.config.write_text(mirror.config.read_text().replace("[packrat]\n", f"[packrat]\nproxy: {url}\n"))
        yield url


@pytest.fixture
def original() -> Iterator[OriginalServer]:
    with original_server() as made:
        yield made


@pytest.mark.parametrize("name", REAL_PROXIES)
def test_an_agent_follows_the_server_through_a_proxy(lab: Stage, name: str) -> None:
    for number in range(8):
        lab.server.put_deb(Deb(f"p{number}", "1", "all"))
    direct = lab.server.url
    with behind(name, lab, direct), daemon(lab) as agent:
        agent.until_logged("checked")
        # An upload goes the same way where the proxy stands before the server.
        lab.server.put_deb(Deb("later", "1", "all"))
        agent.until_logged("published repo=apt-dev", 2)
        assert agent.stop() == 0
        assert "waiting" not in agent.log
        # nginx, as this one is set up, holds back what the server says line by line.
        assert agent.log.count("buffered") == (name == "nginx")
    assert {"Package: p7", "Package: later"} <= set(lab.packages().splitlines())


@pytest.mark.parametrize("name", REAL_PROXIES)
def test_the_original_server_is_mirrored_through_a_proxy(tmp_path: Path, original: OriginalServer, name: str) -> None:
    mirror = Stage(tmp_path, Server(tmp_path, "", original.url), original.psk, None)
    for number in range(8):
        deb = Deb(f"p{number}", "1", "all")
        original.put(deb.name, "1", deb.file_name, build_deb(deb))
    with behind(name, mirror, original.url):
        for _ in range(2):
            mirror.agent("sync")
    assert "Package: p7" in mirror.packages()


@pytest.mark.parametrize("name", REAL_PROXIES)
def test_a_server_that_is_away_behind_a_proxy_is_waited_for(lab: Stage, name: str) -> None:
    lab.agent("sync")
    with behind(name, lab, "http://127.0.0.1:9"):
        told = lab.agent("sync", expect=3).stderr
    assert "not JSON" not in told
    assert "look" in told, told
