"""An agent mirrors from a server that keeps its records in PostgreSQL, as from any other."""

from pathlib import Path

from packrat_demo.build_deb import Deb
from support.keys import Key
from support.postgres import Cluster
from support.stage import daemon, stage


def test_tagged_files_are_published_after_postgresql_was_restarted(
    tmp_path: Path, key: Key, postgresql: Cluster
) -> None:
    with stage(tmp_path, key, database=postgresql.new_database()) as lab:
        lab.server.put_deb(Deb("first", "1", "amd64"))
        with daemon(lab) as agent:
            agent.until_logged("published repo=")
            assert "Package: first" in lab.packages()
            lab.server.put_deb(Deb("second", "1", "amd64"))
            agent.until_logged("published repo=", 2)
            assert "Package: second" in lab.packages()
            postgresql.stop()
            postgresql.start()
            lab.server.put_deb(Deb("third", "1", "amd64"))
            agent.until_logged("published repo=", 3)
            assert "Package: third" in lab.packages()
            assert agent.stop() == 0
        assert "0 added" in lab.agent("sync").stdout
