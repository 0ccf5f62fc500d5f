"""A file that somebody changed on disk is fetched again by the sync that meets it, and the index never lacks it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from packrat_demo.build_deb import Deb
from support.keys import Key
from support.stage import daemon, stage


def test_a_change_that_meets_other_bytes_has_the_file_fetched_again(tmp_path: Path, key: Key) -> None:
    with stage(tmp_path, key) as lab:
        lab.server.put_deb(Deb("hello", "1", "all"))
        with daemon(lab) as agent:
            agent.until_logged("checked ")
            [deb] = lab.repo.rglob("hello_1_all.deb")
            good = deb.read_bytes()
            deb.write_bytes(good[::-1])
            with closing(sqlite3.connect(tmp_path / "state" / "state.db", timeout=60)) as db, db:
                # As a new version of the agent does, which reads other fields: what was read before is not known.
                db.execute("DELETE FROM fragments")
            lab.server.put_deb(Deb("hello", "2", "all"))
            told = agent.until_logged("published", 2)
            packages = lab.packages()
            assert "Version: 1\n" in packages
            assert "Version: 2\n" in packages
            assert "damaged" in told
            assert "failed" not in told
            assert agent.stop() == 0
        assert deb.read_bytes() == good
