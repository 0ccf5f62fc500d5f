"""A real `packrat-agent sync` writes the figures for Prometheus, and a real `run` serves them."""

import socket
import urllib.request

from packrat_demo.build_deb import Deb
from support.ports import held_port
from support.stage import Stage, daemon

FIRST = Deb("first", "1", "amd64")


def test_a_sync_writes_the_figures_for_prometheus_also_where_it_fails(lab: Stage) -> None:
    figures = lab.directory / "packrat.prom"
    lab.extra = {"metrics_file": str(figures)}
    lab.write_config()
    lab.server.put_deb(FIRST)
    lab.agent("sync", "--dry-run")
    assert not figures.exists()
    lab.agent("sync")
    told = figures.read_text()
    assert 'packrat_agent_repo_files{kind="apt",repo="apt-dev",state="live"} 1.0' in told
    assert "packrat_agent_running 0.0" in told
    lab.psk = "wrong"
    lab.write_config()
    lab.agent("sync", expect=4)
    assert "packrat_agent_failing 1.0" in figures.read_text()


def test_run_mirrors_while_another_program_has_the_port_of_the_figures(lab: Stage) -> None:
    with held_port() as port:
        lab.extra = {"metrics_listen": str(port)}
        lab.write_config()
        lab.server.put_deb(FIRST)
        with socket.create_server(("127.0.0.1", port)), daemon(lab) as agent:
            agent.until_logged("checked")
            assert "metrics" in agent.until_logged("the port is in use by another program; change metrics_listen")
            assert agent.stop() == 0
        assert "Package: first" in lab.packages()
        check = ("check", "--allow-stopped", "--disk-free", "0")
        assert "metrics_listen" in lab.agent(*check, expect=1).stdout
        # It forgets what an agent noted that runs no more.
        lab.agent("sync")
        lab.agent(*check)
        with daemon(lab) as agent:
            agent.until_logged("checked")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                assert b"packrat_agent_running 1.0" in answer.read()
            assert agent.stop() == 0
