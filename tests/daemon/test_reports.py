"""A mirror tells the server what it has published, with its heartbeat."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from packrat_demo.build_deb import Deb
from packrat_server.promotion.whereabouts import find_whereabouts
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.reports import read_reports
from support.stage import Stage, daemon, relayed

WITHIN_S = 60


def published(lab: Stage, file_name: str) -> list[bool | None]:
    engine = open_database(lab.server.data)
    with reading(engine) as connection:
        found = [place.publication.is_there for place in find_whereabouts(connection, file_name)]
    engine.dispose()
    return found


def report(lab: Stage) -> dict[str, Any]:
    engine = open_database(lab.server.data)
    with reading(engine) as connection:
        [found] = read_reports(connection, "lab")
    engine.dispose()
    return found


def until_published(lab: Stage, file_name: str) -> None:
    until = time.monotonic() + WITHIN_S
    while published(lab, file_name) != [True]:
        assert time.monotonic() < until
        threading.Event().wait(0.05)


def test_one_sync_reports_what_it_published(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    assert published(lab, "first_1_amd64.deb") == [False]
    lab.agent("sync")
    assert published(lab, "first_1_amd64.deb") == [True]
    first = report(lab)
    # Later files are not there before the next sync; the same index has the same digest.
    [uri] = lab.server.put_deb(Deb("second", "1", "amd64"))
    assert published(lab, "second_1_amd64.deb") == [False]
    lab.server.act(uri, "fail")
    lab.agent("sync")
    second = report(lab)
    assert second["digest"] == first["digest"]
    assert second["position"] != first["position"]


def test_an_agent_that_follows_reports_each_change(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    with daemon(lab) as agent:
        agent.until_logged("checked")
        until_published(lab, "first_1_amd64.deb")
        before = report(lab)["digest"]
        lab.server.put_deb(Deb("second", "1", "amd64"))
        agent.until_logged("published repo=apt-dev", 2)
        until_published(lab, "second_1_amd64.deb")
        assert report(lab)["digest"] != before


def test_files_that_could_not_be_published_are_not_reported(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    for path in (lab.server.data / "files").glob("*/*"):
        path.unlink()
    lab.agent("sync", expect=None)
    assert published(lab, "first_1_amd64.deb") == [False]


def spoil_record(lab: Stage) -> None:
    engine = open_database(lab.server.data)
    with writing(engine) as connection:
        connection.execute(text("UPDATE package_files SET sha256 = 'unusable' WHERE package = 'bad'"))
    engine.dispose()


def spoil_bytes(lab: Stage) -> None:
    [path] = (path for path in (lab.server.data / "files").glob("*/*") if path.is_file())
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("spoil", [spoil_record, spoil_bytes], ids=["record that can't be used", "refused bytes"])
def test_a_change_is_not_reported_while_something_else_in_the_repository_is_left_out(
    lab: Stage, spoil: Callable[[Stage], None]
) -> None:
    [bad] = lab.server.put_deb(Deb("bad", "1", "amd64"))
    spoil(lab)
    with relayed(lab) as relay, daemon(lab) as agent:
        agent.until_logged("checked")
        relay.until_asked("(heartbeat)")
        relay.reset()
        lab.server.put_deb(Deb("second", "1", "amd64"))
        agent.until_logged("published repo=apt-dev", 2)
        assert "Package: second\n" in lab.packages()
        relay.until_asked("(heartbeat)")
        assert not any("(report)" in line for line in relay.asked)
        assert report(lab)["position"] is None
        # The next full sync finds nothing wrong any more.
        lab.server.act(bad, "fail")
        agent.process.send_signal(signal.SIGUSR1)
        until_published(lab, "second_1_amd64.deb")


def test_a_change_is_not_reported_while_the_first_full_sync_still_downloads(lab: Stage) -> None:
    lab.server.put_deb(Deb("large", "1", "amd64"))
    with relayed(lab) as relay:
        relay.held = "/files/large"
        with daemon(lab) as agent:
            relay.until_asked("/files/large")
            lab.server.put_deb(Deb("second", "1", "amd64"))
            agent.until_logged("published repo=apt-dev")
            assert "Package: second\n" in lab.packages()
            assert "Package: large\n" not in lab.packages()
            relay.until_asked("(heartbeat)")
            assert report(lab)["position"] is None
            relay.passes.set()
            until_published(lab, "large_1_amd64.deb")
            assert published(lab, "second_1_amd64.deb") == [True]
            assert "Package: large\n" in lab.packages()
