"""The full sync of a real `packrat-agent run`: it rereads everything, also after an outage, and mends what it finds."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from packrat_demo.build_deb import Deb, build_deb
from support.deep_directories import plant
from support.original_server import OriginalServer, original_server
from support.stage import Server, Stage, daemon


def put(server: OriginalServer, name: str) -> None:
    deb = Deb(name, "1", "all")
    server.put(name, "1", deb.file_name, build_deb(deb))


def test_a_full_sync_that_could_not_begin_asks_for_everything_again(tmp_path: Path) -> None:
    with original_server() as original:
        put(original, "first")
        original.users["lab"] = original.psk
        mirror = Stage(tmp_path, Server(tmp_path, "", original.url), original.psk, None)
        mirror.write_config()
        with daemon(mirror) as agent:
            agent.until_logged("checked")
            put(original, "second")
            agent.until_logged("published repo=apt-dev", 2)
            # The heartbeat ends the work, so that the next question is the full sync's.
            downloaded_at = next(request.at for request in original.asked if "/files/second" in request.target)
            original.until_asked(1, "(heartbeat)", downloaded_at)
            original.manners.gone = True
            agent.process.send_signal(signal.SIGUSR1)
            agent.until_logged("waiting")
            read_before = original.count("Package/PackageFile:")
            original.manners.gone = False
            agent.until_logged("recovered")
            agent.until_logged("checked", 2)
            assert original.count("Package/PackageFile:") > read_before
            assert agent.stop() == 0


def test_a_damaged_file_of_the_site_is_mended(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        page = lab.www / "index.html"
        good = page.read_bytes()
        page.write_bytes(b"?" * len(good))
        agent.process.send_signal(signal.SIGUSR1)
        agent.until_logged("checked", 2)
        assert page.read_bytes() == good
        assert agent.stop() == 0


def test_an_index_that_differs_from_the_state_database_is_reported_and_made_again(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        agent.process.send_signal(signal.SIGUSR1)
        agent.until_logged("checked", 2)
        assert agent.log.count("differs") == 0
        with closing(sqlite3.connect(lab.directory / "state" / "state.db")) as db, db:
            db.execute("UPDATE fragments SET body = CAST(replace(CAST(body AS TEXT), ': first', ': other') AS BLOB)")
        agent.process.send_signal(signal.SIGUSR1)
        agent.until_logged("differs repo=apt-dev")
        agent.until_logged("published repo=apt-dev", 2)
        assert "Package: other" in lab.packages()
        assert agent.stop() == 0


def test_a_file_that_somebody_wrote_to_is_mended_though_content_is_read_in_slices(lab: Stage) -> None:
    lab.extra = {"scan_days": "30"}
    lab.write_config()
    lab.server.put_deb(Deb("first", "1", "amd64"))
    lab.agent("sync")
    # This one notes the change times.
    lab.agent("sync")
    (package,) = lab.repo.glob("pool/*/*.deb")
    good, status = package.read_bytes(), package.stat()
    package.write_bytes(b"?" * len(good))
    os.utime(package, ns=(status.st_atime_ns, status.st_mtime_ns))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        assert package.read_bytes() == good
        told = json.loads(lab.agent("status", "--json").stdout)
        of_bytes = sum(path.stat().st_size for path in lab.www.rglob("*") if path.is_file())
        # Also read: the site, which is written at each start.
        assert len(good) <= told["full_pass"]["bytes"] < of_bytes / 2
        assert told["full_pass"]["files"] > 10
        assert told["scan_round"]["ended"] <= told["scan_round"]["began"]
        assert "content    every file read until" in lab.agent("status").stdout
        agent.process.send_signal(signal.SIGUSR1)
        agent.until_logged("checked", 2)
        told = json.loads(lab.agent("status", "--json").stdout)
        assert told["full_pass"]["bytes"] > of_bytes / 2, "who asks for a full sync wants to be sure"
        assert told["scan_round"]["began"] is None


def test_directories_are_removed_however_deep_they_are(lab: Stage) -> None:
    """More levels than a process has frames or open files."""
    lab.server.put_deb(Deb("first", "1", "amd64"))
    assert lab.agent("sync").returncode == 0
    pool = lab.www / "apt-dev/pool"
    [deb] = pool.rglob("*.deb")
    deb.unlink()
    for top in (pool / "deep", deb):
        plant(top, 1100, "file")
    done = lab.agent("sync")
    assert done.returncode == 0, done.stderr
    assert "not of this mirror, not a keep file; removed" in done.stderr
    assert deb.is_file()
    assert not (pool / "deep").exists()
