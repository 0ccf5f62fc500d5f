"""A real `packrat-agent run` reads new records; those that it knows are checked beside, and never hold up a tag."""

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.upstream.records import PACKAGE_FILE, read_file
from packrat_demo.build_deb import Deb, build_deb
from support.original_server import OriginalServer, StoredRepo, original_server
from support.stage import Daemon, Server, Stage, daemon

RECORDS = "GET /api/v2/Package/PackageFile:"
DAY_S = 86400.0


def put(server: OriginalServer, name: str, version: str = "1") -> int:
    deb = Deb(name, version, "all")
    return server.put(name, version, deb.file_name, build_deb(deb))


@contextmanager
def mirror_of(original: OriginalServer, directory: Path) -> Iterator[Stage]:
    mirror = Stage(directory, Server(directory, "", original.url), original.psk, None)
    mirror.write_config()
    yield mirror


def seed(mirror: Stage, original: OriginalServer, count: int, read_at: float) -> None:
    """Let the agent know many files: their records were read, and what is in them can't be used."""
    numbers = original.put_many(count)
    files = [read_file(uri, original.record(PACKAGE_FILE, str(n))) for n in numbers if (uri := f"{PACKAGE_FILE}:{n}:")]
    marks = ", ".join("?" * 16)
    with closing(sqlite3.connect(mirror.directory / "state" / "state.db")) as db:
        db.executemany(
            "INSERT INTO files (repo, uri, package, distro_version, version, kind, arch, url, file_name, sha256, "
            f"created, yanked, state, reason, unreadable, read_at) VALUES ({marks})",
            [("apt-dev", *astuple(file), "refused", "of another type", 1, read_at) for file in files],
        )
        # The sync that made the database read everything that was known then.
        db.execute("DELETE FROM settings WHERE name = 'records'")
        db.commit()


def records_read(original: OriginalServer, since: float) -> list[int]:
    """The numbers of the package files whose records were asked for."""
    asked = [
        request.target
        for request in list(original.asked)
        if request.at >= since and f"GET {request.target}".startswith(RECORDS)
    ]
    return [int(number) for target in asked for number in target.partition(":")[2].strip(":").split(":")]


def status(mirror: Stage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mirror.agent("status", "--json").stdout)
    return found


@pytest.fixture
def original() -> Iterator[OriginalServer]:
    with original_server() as server:
        put(server, "first")
        yield server


@pytest.fixture
def mirror(original: OriginalServer, tmp_path: Path) -> Iterator[Stage]:
    with mirror_of(original, tmp_path) as stage:
        yield stage


def until_published(mirror: Stage, agent: Daemon, name: str, times: int) -> None:
    agent.until_logged("published repo=apt-dev", times)
    assert f"Package: {name}\n" in mirror.packages()


@pytest.mark.parametrize("asked", [False, True], ids=["on its own", "asked for"])
def test_a_tag_during_a_full_sync_of_many_files_waits_for_no_record(
    original: OriginalServer, mirror: Stage, asked: bool
) -> None:
    """Every GET is held back, so the order proves it: the tag is published before the third further GET."""
    mirror.agent("sync")
    seed(mirror, original, 20_000, time.time() - (0 if asked else 2 * DAY_S))
    since = time.monotonic()
    with ExitStack() as stack:
        held = None if asked else stack.enter_context(original.holding(RECORDS))
        agent = stack.enter_context(daemon(mirror))
        if held is None:
            agent.until_logged("checked")
            held = stack.enter_context(original.holding(RECORDS))
            since = time.monotonic()
            agent.process.send_signal(signal.SIGUSR1)
        original.until_asked(1, RECORDS, since)
        tagged_at = time.monotonic()
        number = put(original, "second")
        original.until_asked(1, f"{RECORDS}{number}:", tagged_at)
        # One that was asked before, and the tag's own.
        held.let_go(2)
        until_published(mirror, agent, "second", 1)
        assert agent.log.count("checked") == asked, "the full sync goes on"
        held.end()
        if not asked:
            return
        agent.until_logged("checked", 2)
        assert set(records_read(original, since)) >= set(range(2, 20_002)), "each record was read again"
        assert agent.stop() == 0


def test_a_tag_waits_for_no_new_records_of_another_repository(original: OriginalServer, mirror: Stage) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        original.repos["apt-big"] = StoredRepo("big")
        original.put_many(20_000, tag="big")
        with original.holding(RECORDS) as held:
            original.until_asked(1, RECORDS, time.monotonic())
            tagged_at = time.monotonic()
            number = put(original, "second")
            original.until_asked(1, f"{RECORDS}{number}:", tagged_at)
            held.let_go(3)
            until_published(mirror, agent, "second", 2)


def test_a_full_sync_reads_the_new_records_and_a_sample_of_the_known_ones(
    original: OriginalServer, mirror: Stage
) -> None:
    mirror.agent("sync")
    seed(mirror, original, 2_000, time.time())
    new = put(original, "second")
    since = time.monotonic()
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        read = records_read(original, since)
        assert new in read
        assert 10 < len(read) < 100
        assert agent.stop() == 0


def test_a_sync_by_hand_reads_every_record(original: OriginalServer, mirror: Stage) -> None:
    mirror.agent("sync")
    seed(mirror, original, 500, time.time())
    since = time.monotonic()
    mirror.agent("sync", expect=None)
    assert sorted(records_read(original, since)) == list(range(1, 502))


def test_reading_goes_on_where_it_broke_off(original: OriginalServer, mirror: Stage) -> None:
    mirror.agent("sync")
    numbers = original.put_many(1_500)
    since = time.monotonic()
    with original.holding(RECORDS) as held, daemon(mirror) as agent:
        original.until_asked(1, RECORDS, since)
        held.let_go(7)
        original.until_asked(8, RECORDS, since)
        original.manners.gone = True
        held.end()
        agent.until_logged("waiting")
        again = time.monotonic()
        original.manners.gone = False
        agent.until_logged("checked")
        assert len(set(records_read(original, again)).intersection(numbers)) < 1_100
        assert agent.stop() == 0
    with closing(sqlite3.connect(mirror.directory / "state" / "state.db")) as db:
        assert db.execute("SELECT count(*) FROM files").fetchone() == (1_501,)


@pytest.mark.parametrize("reused", [1, 3], ids=["some numbers reused", "all numbers reused"])
@pytest.mark.parametrize("running", [False, True], ids=["while stopped", "while running"])
def test_a_server_that_was_restored_is_followed(
    original: OriginalServer, mirror: Stage, reused: int, running: bool
) -> None:
    """The numbers of files that the backup doesn't have are given to others."""
    for name in ("second", "third", "fourth"):
        put(original, name)
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        if not running:
            assert agent.stop() == 0
        original.stop()
        if running:
            agent.until_logged("waiting")
        original.restore(1)
        for number in range(reused):
            put(original, f"other{number}")
        original.start()
        if running:
            agent.until_logged(f"added={reused} ")
    if not running:
        with daemon(mirror) as agent:
            assert "is another file than before" in agent.until_logged("checked")
            assert agent.stop() == 0
    names = [line for line in mirror.packages().splitlines() if line.startswith("Package: ")]
    assert sorted(names) == ["Package: first", *(f"Package: other{number}" for number in range(reused))]


def test_a_server_that_was_restored_and_has_no_newer_files_yet_is_followed(
    original: OriginalServer, mirror: Stage
) -> None:
    put(original, "second")
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        original.restore(1)
        agent.until_logged("removed=1")
        # The number is given out again while nobody looks, to a file of the same package.
        put(original, "second", "2")
        agent.until_logged("added=1 ")
        assert "Version: 2\n" in mirror.packages()
        assert agent.stop() == 0


def test_a_server_that_never_gives_the_same_answer_is_not_asked_for_ever(
    original: OriginalServer, mirror: Stage
) -> None:
    original.repos["apt-two"] = StoredRepo("dev")
    original.manners.restless = True
    since = time.monotonic()
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        # Each repository: read, checked, and read again for each of the two checks.
        assert len(records_read(original, since)) <= 2 * 4
        assert agent.stop() == 0


def test_another_server_in_the_configuration_is_read_as_a_whole(original: OriginalServer, mirror: Stage) -> None:
    mirror.agent("sync")
    with original_server() as other:
        put(other, "else")
        mirror.server.url = other.url
        mirror.write_config()
        with daemon(mirror) as agent:
            told = agent.until_logged("checked")
            assert "reread" in told
            assert agent.stop() == 0
    assert "Package: else\n" in mirror.packages()
    assert "Package: first\n" not in mirror.packages()


def test_while_records_are_read_the_status_says_so_and_the_lag_is_real(original: OriginalServer, mirror: Stage) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        [repo] = status(mirror)["repos"]
        assert (repo["lag_s"], repo["pending"], repo["work"]) == (0, 0, None)
        with original.holding(RECORDS):
            since = time.monotonic()
            original.put_many(700)
            original.until_asked(1, RECORDS, since)
            [repo] = status(mirror)["repos"]
            assert repo["lag_s"] > 0
            assert (repo["unread"], repo["pending"], repo["wanted"], repo["live"]) == (700, 700, 701, 1)
            assert repo["work"] == "reading 700 new records of apt-dev"
            assert "reading 700 new records of apt-dev" in mirror.agent("status").stdout
            assert (
                "behind the server: apt-dev by"
                in mirror.agent("check", "--max-lag", "0", "--disk-free", "0", expect=1).stdout
            )
        agent.until_logged("refused", 700)
        mirror.server.url = "http://127.0.0.1:9"
        assert agent.stop() == 0
    [repo] = status(mirror)["repos"]
    assert (repo["unread"], repo["work"], repo["refused"]) == (0, None, 700)


def test_a_change_whose_download_breaks_off_goes_on_to_be_lag(original: OriginalServer, mirror: Stage) -> None:
    mirror.agent("sync")
    put(original, "second")
    original.manners.cut_files = 10**6
    mirror.agent("sync", expect=12)
    [repo] = status(mirror)["repos"]
    assert repo["pending"] == 1
    assert repo["lag_s"] > 0
    original.manners.cut_files = 0
    mirror.agent("sync")
    [repo] = status(mirror)["repos"]
    assert (repo["pending"], repo["lag_s"]) == (0, 0)
