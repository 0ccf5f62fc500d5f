"""A real `packrat-agent sync` writes the figures for Prometheus."""

from packrat_demo.build_deb import Deb
from support.stage import Stage

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
