"""A real `packrat-agent sync` of a repository whose type changes on the server, and waits to be said again."""

import sqlite3
from contextlib import closing

from packrat_demo.build_deb import Deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.stage import Stage


def let_an_interval_pass(lab: Stage) -> None:
    with closing(sqlite3.connect(lab.directory / "state/state.db")) as db, db:
        db.execute("UPDATE removals SET at = at - 3600 WHERE held")


def test_a_type_that_is_said_again_changes_at_once_and_is_held_no_second_time(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    lab.agent("sync")
    engine = open_database(lab.server.data)
    admin.save_repo(engine, admin.NewRepo("apt-dev", "yum", "dev", ("rhel9",)))
    engine.dispose()
    lab.agent("sync", expect=12)
    let_an_interval_pass(lab)
    told = lab.agent("sync")
    assert told.stderr.count("confirmed repo=apt-dev removals=1") == 1
    assert "held" not in told.stdout
    assert not (lab.repo / "dists/bookworm/Release").exists()
    assert (lab.repo / "rhel/main/9/repodata/repomd.xml").exists()


def test_a_directory_that_another_repository_takes_keeps_its_type_for_an_interval(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    lab.agent("sync")
    before = lab.tree()
    engine = open_database(lab.server.data)
    admin.save_repo(engine, admin.NewRepo("other", "yum", "dev", ("rhel9",), directory="apt-dev"))
    admin.save_mirror(engine, "lab", ["other"])
    engine.dispose()
    told = lab.agent("sync", expect=12).stdout
    assert "! apt-dev: held: the type of its directory apt-dev was 'apt' and is now 'yum'" in told
    assert "! other: held: its directory apt-dev is, contains or lies in that of apt-dev, which is held" in told
    assert lab.tree() == before
    let_an_interval_pass(lab)
    assert "held" not in lab.agent("sync").stdout
    assert (lab.repo / "rhel/main/9/repodata/repomd.xml").exists()
