"""What `run` does for single packages comes to the same as a `sync` that decides everything again."""

import signal
import sqlite3
from contextlib import closing

from packrat_demo.build_deb import Deb
from packrat_demo.build_image import Image, build_classic, write_image
from packrat_server import admin
from packrat_server.store.database import open_database
from support.stage import Daemon, Stage, daemon

BASE = (("base", b"base\n"),)


def remembered(lab: Stage) -> tuple[list[tuple[object, ...]], ...]:
    """What the state database says of the files that are in use, and of the wanted ones."""
    with closing(sqlite3.connect(lab.directory / "state" / "state.db")) as db:
        files = "SELECT path, sha256, publication FROM live_files WHERE withdrawn_at IS NULL ORDER BY path"
        return db.execute(files).fetchall(), db.execute("SELECT uri, state, path FROM files ORDER BY uri").fetchall()


def holds_against_a_sync(lab: Stage, agent: Daemon) -> None:
    assert agent.stop() == 0
    before = remembered(lab)
    assert any(state == "live" for _, state, _ in before[1])
    lab.agent("sync")
    for was, now in zip(before, remembered(lab), strict=True):
        assert set(was) ^ set(now) == set()


def test_packages_that_come_and_go_one_by_one_leave_what_a_sync_would(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    lab.server.put_deb(Deb("second", "1", "all"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        [uri] = lab.server.put_deb(Deb("third", "1", "amd64"))
        agent.until_logged("published repo=apt-dev", 2)
        lab.server.put_deb(Deb("third", "2", "amd64"))
        agent.until_logged("published repo=apt-dev", 3)
        lab.server.act(uri, "fail")
        agent.until_logged("published repo=apt-dev", 4)
        lab.server.put_deb(Deb("fourth", "1", "amd64"))
        agent.until_logged("published repo=apt-dev", 5)
        text = lab.packages()
        assert [text.count(f"Package: {name}\n") for name in ("first", "second", "third", "fourth")] == [1, 1, 1, 1]
        holds_against_a_sync(lab, agent)


def test_a_package_that_is_damaged_beside_a_change_is_mended(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        lab.server.put_deb(Deb("second", "1", "amd64"))
        agent.until_logged("published repo=apt-dev", 2)
        package = lab.repo / "pool/first/first_1_amd64.deb"
        good = package.read_bytes()
        package.unlink()
        agent.process.send_signal(signal.SIGUSR1)
        agent.until_logged("checked", 2)
        assert package.read_bytes() == good
        lab.server.put_deb(Deb("third", "1", "amd64"))
        agent.until_logged("Signing distro bookworm", 3)
        agent.until_logged("publications=bookworm", 3)
        holds_against_a_sync(lab, agent)


def test_a_layer_that_another_version_needs_stays_when_one_is_withdrawn(lab: Stage) -> None:
    engine = open_database(lab.server.data)
    admin.save_repo(engine, admin.NewRepo("docker-dev", "docker", "dev", ("docker",), show_only_latest=False))
    admin.save_mirror(engine, "lab", ["docker-dev"], "Lab")
    engine.dispose()
    with daemon(lab) as agent:
        agent.until_logged("checked")
        published = agent.log.count("published repo=docker-dev")
        for image in (Image("web", "1", (BASE,)), Image("web", "2", (BASE, (("two", b"two"),)))):
            [uri] = lab.server.put(write_image(image, lab.directory, build_classic(image)), ("docker",))
            published += 1
            agent.until_logged("published repo=docker-dev", published)
        lab.server.act(uri, "fail")
        agent.until_logged("published repo=docker-dev", published + 1)
        holds_against_a_sync(lab, agent)
