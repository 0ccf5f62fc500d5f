"""A file that was changed on disk, or is not to be read, is fetched again by the sync that meets it."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from packrat_demo.build_deb import Deb, build_deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.calls import number, watch
from support.keys import Key
from support.stage import Stage, daemon, stage


def test_a_change_that_meets_other_bytes_has_the_file_fetched_again(tmp_path: Path, key: Key) -> None:
    with stage(tmp_path, key) as lab:
        engine = open_database(lab.server.data)
        # The server tells all files of a changed package of such a repository, not only those that were touched.
        admin.save_repo(engine, admin.NewRepo("apt-dev", "apt", "dev", ("bookworm",), show_only_latest=True))
        engine.dispose()
        lab.server.put_deb(Deb("hello", "1", "amd64"))
        with daemon(lab) as agent:
            agent.until_logged("checked ")
            [deb] = lab.repo.rglob("hello_1_amd64.deb")
            good = deb.read_bytes()
            deb.write_bytes(good[::-1])
            with closing(sqlite3.connect(tmp_path / "state" / "state.db", timeout=60)) as db, db:
                # As a new version of the agent does, which reads other fields: what was read before is not known.
                db.execute("DELETE FROM fragments")
            lab.server.put_deb(Deb("hello", "2", "arm64"))
            told = agent.until_logged("published", 2)
            assert "Version: 1\n" in lab.packages()
            assert "Version: 2\n" in lab.packages(architecture="arm64")
            assert "damaged" in told
            assert "failed" not in told
            assert agent.stop() == 0
        assert deb.read_bytes() == good


def test_a_download_that_the_disk_does_not_give_is_fetched_again_by_the_same_sync(lab: Stage, tmp_path: Path) -> None:
    deb = Deb("hello", "1", "amd64")
    lab.server.put_deb(deb)
    sha256 = hashlib.sha256(build_deb(deb)).hexdigest()
    watched = watch(tmp_path, [lab.www])
    done = lab.sync(watched.environment(fail="read", path=sha256, errno=number("EIO"), count="1"))
    assert [call.name for call in watched.calls() if call.refused] == ["read"]
    assert done.returncode == 0, done.stderr
    assert "damaged" in done.stderr
    assert "Package: hello\n" in lab.packages()
