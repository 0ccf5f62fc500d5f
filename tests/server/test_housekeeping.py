"""The data stay clean while the server runs: too many old files, abandoned uploads, files that no record names."""

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update
from structlog.testing import capture_logs

from packrat_core.errors import ServerUnavailable
from packrat_server import admin
from packrat_server.accounts.sessions import SESSION_S, digest
from packrat_server.admin.distro_versions import GivenDistro, save_distro
from packrat_server.promotion.package_files import create_package, delete_file
from packrat_server.promotion.promote import mark_file
from packrat_server.promotion.retention import delete_surplus
from packrat_server.serving import housekeeping
from packrat_server.serving.clock_jumps import JumpWatch
from packrat_server.serving.housekeeping import DAY_S, clean
from packrat_server.serving.running import running
from packrat_server.store.blobs import blob_path
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.events import SERVER, EventFilter, read_events
from packrat_server.store.orphans import add_orphans
from packrat_server.store.tables import journal, orphans, package_file_tags, package_files, sessions, uploads

START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def engine(data: Path) -> Iterator[Engine]:
    made = open_database(data)
    with writing(made) as connection:
        create_package(connection, "hello", SERVER, {"deprocated_count": 2, "failed_count": 1})
        create_package(connection, "other", SERVER)
    yield made
    made.dispose()


def add(engine: Engine, number: int, mark: str = "", kind: str = "deb", package: str = "hello") -> str:
    """Add a file; a higher number was marked later. Gives its SHA-256."""
    sha256 = f"{number:064x}"
    row: dict[str, Any] = {
        "package": package,
        "distro_version": {"deb": "bookworm", "python": "pypi"}[kind],
        "version": str(number),
    }
    row |= {"type": kind, "arch": "all", "justification": "", "provenance": "", "file_name": f"{package}_{number}"}
    at = START + timedelta(minutes=number)
    row |= {"sha256": sha256, "size": 1, "created_by": "admin", "created": at, "updated": at}
    marked = {f"{mark}_at": at, f"{mark}_by": "admin"} if mark else {}
    with writing(engine) as connection:
        made = connection.execute(insert(package_files).values(**row, **marked)).inserted_primary_key
        assert made is not None
        connection.execute(insert(package_file_tags).values(package_file=made[0], tag="dev", by="admin", at=at))
    return sha256


def store(data: Path, sha256: str, age_s: float = 2 * DAY_S) -> Path:
    path = blob_path(data, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def versions(engine: Engine, package: str = "hello") -> list[str]:
    query = select(package_files.c.version).where(package_files.c.package == package).order_by(package_files.c.id)
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())


def test_the_newest_deprocated_and_failed_files_stay(engine: Engine, data: Path) -> None:
    for number, mark in enumerate(("deprocated", "failed", "", "deprocated", "failed", "deprocated", "deprocated"), 1):
        add(engine, number, mark)
    for number in range(20, 26):
        add(engine, number, "failed", package="other")
    clean(engine, data)
    assert versions(engine) == ["3", "5", "6", "7"]
    # By default 10 deprocated and 5 failed ones.
    assert versions(engine, "other") == ["21", "22", "23", "24", "25"]
    with reading(engine) as connection:
        told = [event for event in read_events(connection, EventFilter("hello"), 0, 100) if event["action"] == "delete"]
    assert [(event["by"], event["via"], event["reason"], event["file_name"]) for event in told] == [
        ("packrat-server", "server", "failed_count is 1", "hello_2"),
        ("packrat-server", "server", "deprocated_count is 2", "hello_1"),
        ("packrat-server", "server", "deprocated_count is 2", "hello_4"),
    ]
    clean(engine, data)
    assert versions(engine) == ["3", "5", "6", "7"]


def test_deprocated_python_files_that_a_mirror_lists_stay(engine: Engine, data: Path) -> None:
    for number in range(1, 6):
        add(engine, number, "deprocated", "python")
    admin.save_repo(engine, admin.NewRepo("pypi-dev", "pypi", "dev", ("pypi",), show_only_latest=False))
    admin.set_mirror(engine, "lab", ["pypi-dev"])
    clean(engine, data)
    assert versions(engine) == ["1", "2", "3", "4", "5"]
    admin.remove_mirror(engine, "lab")
    clean(engine, data)
    assert versions(engine) == ["4", "5"]


def test_a_file_goes_a_day_after_its_record_and_not_before(engine: Engine, data: Path) -> None:
    paths = [store(data, add(engine, number, "failed")) for number in (1, 2)]
    now = time.time()
    clean(engine, data, now)
    assert versions(engine) == ["2"]
    clean(engine, data, now + DAY_S - 60)
    assert all(path.exists() for path in paths)
    clean(engine, data, now + DAY_S + 60)
    assert [path.exists() for path in paths] == [False, True]
    assert list((data / "incoming").iterdir()) == []
    with reading(engine) as connection:
        assert connection.execute(select(orphans)).all() == []


def test_a_start_after_a_restore_tells_which_files_are_missing_and_which_will_go(engine: Engine, data: Path) -> None:
    store(data, add(engine, 1))
    for number in (2, 3):
        add(engine, number)
    uploaded_since = store(data, "d" * 64)
    (data / "files" / "mine").mkdir()
    (data / "files" / "mine" / "notes").touch()
    with capture_logs() as told, running(data):
        pass
    by_word = {line["event"]: line for line in told}
    assert (by_word["files-missing"]["files"], by_word["files-missing"]["names"]) == (2, "hello_2, hello_3")
    assert by_word["files-unnamed"]["files"] == 1
    # What is told goes at the next cleaning but one, and no other file does.
    clean(engine, data, time.time() + DAY_S + 1)
    assert not uploaded_since.exists()
    for sha256 in (f"{2:064x}", f"{3:064x}"):
        store(data, sha256)
    with capture_logs() as told, running(data):
        pass
    assert [line["event"] for line in told] == ["serving" for line in told]


def test_a_file_that_is_named_again_or_arrives_again_stays(engine: Engine, data: Path) -> None:
    named, arrived = store(data, add(engine, 1, "failed")), store(data, add(engine, 2, "failed"))
    add(engine, 3, "failed")
    now = time.time()
    clean(engine, data, now)
    assert versions(engine) == ["3"]
    add(engine, 1, package="other")
    os.utime(arrived, (now + DAY_S,) * 2)
    with capture_logs() as logged:
        clean(engine, data, now + DAY_S + 60)
    # Nothing was removed, so nothing is told.
    assert logged == []
    assert named.exists()
    assert arrived.read_bytes() == b"x"
    # Two files of one name: the record of one goes, the file stays for the other.
    clean(engine, data, now + 3 * DAY_S)
    assert (named.exists(), arrived.exists()) == (True, False)


def test_a_file_that_was_named_again_has_its_day_from_the_last_record_on(engine: Engine, data: Path) -> None:
    path = store(data, f"{1:064x}")
    now = time.time()
    with writing(engine) as connection:
        add_orphans(connection, [path.name], now - DAY_S)
    add(engine, 1)
    with writing(engine) as connection:
        file_id = connection.execute(select(package_files.c.id)).scalar_one()
        delete_file(connection, file_id, SERVER)
    clean(engine, data, now + 3600)
    assert path.exists()
    clean(engine, data, now + DAY_S + 3600)
    assert not path.exists()


def test_a_python_file_goes_where_no_repository_takes_its_distribution_version(engine: Engine, data: Path) -> None:
    save_distro(engine, GivenDistro("internal", "python"))
    admin.save_repo(engine, admin.NewRepo("pypi-dev", "pypi", "dev", ("pypi",), show_only_latest=False))
    admin.set_mirror(engine, "lab", ["pypi-dev"])
    for number in range(1, 6):
        add(engine, number, "deprocated", "python")
    with writing(engine) as connection:
        connection.execute(update(package_files).values(distro_version="internal"))
    clean(engine, data)
    assert versions(engine) == ["4", "5"]


def test_abandoned_uploads_sessions_and_parts_go(engine: Engine, data: Path) -> None:
    now = time.time()
    old, new = store(data, "a" * 64), store(data, "b" * 64)
    with writing(engine) as connection:
        for handle, sha256, age_s in (("old", "a" * 64, DAY_S + 60), ("new", "b" * 64, DAY_S - 60)):
            values = {"handle": handle, "file_name": "x", "sha256": sha256, "size": 1, "by": "ci", "at": now - age_s}
            connection.execute(insert(uploads).values(values))
        for token, expires in (("ended", now - 1), ("going", now + 600)):
            session = {"token_hash": digest(token), "name": "admin", "role": "admin", "expires": expires}
            connection.execute(insert(sessions).values(session))
    parts = [data / "incoming" / name for name in ("abandoned", "arriving")]
    for part, age_s in zip(parts, (DAY_S + 60, 60), strict=True):
        part.write_bytes(b"x")
        os.utime(part, (now - age_s,) * 2)
    clean(engine, data, now)
    with reading(engine) as connection:
        assert connection.execute(select(uploads.c.handle)).scalars().all() == ["new"]
        assert connection.execute(select(sessions.c.expires)).scalars().all() == [pytest.approx(now + 600)]
    assert [part.exists() for part in parts] == [False, True]
    assert (old.exists(), new.exists()) == (True, True)
    clean(engine, data, now + DAY_S + 60)
    assert (old.exists(), new.exists()) == (False, True)


def test_the_journal_is_pruned_and_events_are_not(engine: Engine, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packrat_server.store.journal._KEPT_ROWS", 5)
    for number in range(10):
        admin.set_mirror(engine, "lab", [], description=str(number))
    with reading(engine) as connection:
        before = read_events(connection, EventFilter(), 0, 1000)
    clean(engine, data)
    with reading(engine) as connection:
        assert len(connection.execute(select(journal.c.id)).all()) == 5
        assert read_events(connection, EventFilter(), 0, 1000) == before


def test_a_running_server_cleans_and_keeps_orphans_for_a_day(
    engine: Engine, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_FIRST_S", 0.01)
    monkeypatch.setattr(housekeeping, "_EVERY_S", 0.05)
    for number in (1, 2):
        add(engine, number, "failed")
    orphan = store(data, "c" * 64)
    until = time.monotonic() + 60
    with running(data):
        while versions(engine) != ["2"]:
            assert time.monotonic() < until
            threading.Event().wait(0.01)
        assert orphan.exists()
        with writing(engine) as connection:
            connection.execute(update(orphans).values(since=time.time() - DAY_S))
        while orphan.exists():
            assert time.monotonic() < until
            threading.Event().wait(0.01)


def fail_once(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """Have the first cleaning fail."""
    failures = iter([failure])

    def delete(engine: Engine) -> int:
        if (reason := next(failures, None)) is not None:
            raise reason
        return delete_surplus(engine)

    monkeypatch.setattr(housekeeping, "delete_surplus", delete)


def test_cleaning_goes_on_after_an_unexpected_failure(
    engine: Engine, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_FIRST_S", 0.01)
    monkeypatch.setattr(housekeeping, "_EVERY_S", 0.05)
    for number in (1, 2):
        add(engine, number, "failed")
    fail_once(monkeypatch, ValueError("once"))
    until = time.monotonic() + 60
    with capture_logs() as told, running(data):
        while versions(engine) != ["2"]:
            assert time.monotonic() < until
            threading.Event().wait(0.01)
    reasons = [line["reason"] for line in told if line["event"] == "cleaning"]
    assert reasons == ["internal error: ValueError('once')"]


def test_the_last_marked_files_stay_although_the_clock_was_ahead_before(engine: Engine, data: Path) -> None:
    for number in range(1, 5):
        add(engine, number)
    with reading(engine) as connection:
        ids = connection.execute(select(package_files.c.id).order_by(package_files.c.id)).scalars().all()
    for file_id, year in zip(ids, (2024, 2034, 2025, 2026), strict=True):
        with writing(engine) as connection:
            mark_file(connection, file_id, "deprocated", SERVER)
            dated = update(package_files).where(package_files.c.id == file_id)
            connection.execute(dated.values(deprocated_at=datetime(year, 1, 1, tzinfo=UTC)))
    clean(engine, data)
    assert versions(engine) == ["3", "4"]


def test_nothing_goes_early_where_the_clock_jumps_ahead(engine: Engine, data: Path) -> None:
    now, ahead_s = time.time(), 3650 * DAY_S
    orphan, arriving = store(data, "d" * 64), data / "incoming" / "arriving"
    arriving.write_bytes(b"x")
    with writing(engine) as connection:
        add_orphans(connection, ["d" * 64], now - DAY_S / 2)
        values = {"handle": "new", "file_name": "x", "sha256": "e" * 64, "size": 1, "by": "ci", "at": now - 60}
        connection.execute(insert(uploads).values(values))
    clean(engine, data, now + ahead_s, ahead_s)
    with reading(engine) as connection:
        assert connection.execute(select(uploads.c.handle)).scalars().all() == ["new"]
    assert (orphan.exists(), arriving.exists()) == (True, True)
    clean(engine, data, now + ahead_s + DAY_S / 2 + 1)
    assert not orphan.exists()


def test_what_was_noted_while_the_clock_was_ahead_counts_from_the_next_cleaning_on(engine: Engine, data: Path) -> None:
    now, ahead_s = time.time(), 3650 * DAY_S
    orphan = store(data, "d" * 64)
    with writing(engine) as connection:
        add_orphans(connection, ["d" * 64], now + ahead_s)
        session = {"token_hash": digest("t"), "name": "admin", "role": "admin", "expires": now + ahead_s + SESSION_S}
        connection.execute(insert(sessions).values(session))
    clean(engine, data, now)
    with reading(engine) as connection:
        assert connection.execute(select(sessions.c.expires)).scalars().all() == [pytest.approx(now + SESSION_S)]
    clean(engine, data, now + DAY_S - 1)
    assert orphan.exists()
    clean(engine, data, now + DAY_S)
    assert not orphan.exists()


def test_only_what_the_clock_gains_beside_the_time_that_passes_is_a_jump() -> None:
    clocks = iter([(1000.0, 10.0), (4600.0, 3610.0), (8259.0, 7210.0), (98260.0, 7211.0), (1000.0, 7212.0)])
    watch = JumpWatch(lambda: next(clocks))
    seen = []
    for _ in range(4):
        with watch.following() as ahead_s:
            seen.append(ahead_s)
    assert seen == [0.0, 0.0, 90000.0, 0.0]


def test_a_jump_is_followed_by_the_next_cleaning_where_one_fails(
    engine: Engine, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_FIRST_S", 0.01)
    monkeypatch.setattr(housekeeping, "_EVERY_S", 0.05)
    # The day that an orphan is kept passes by a jump, while the database can't be used.
    clocks = iter([(0.0, 0.0), (2 * DAY_S, 1.0)])
    monkeypatch.setattr(housekeeping, "JumpWatch", lambda: JumpWatch(lambda: next(clocks, (2 * DAY_S, 1.0))))
    orphan = store(data, "d" * 64)
    with writing(engine) as connection:
        add_orphans(connection, ["d" * 64], time.time() - 2 * DAY_S)
    add(engine, 1, "failed")
    add(engine, 2, "failed")
    fail_once(monkeypatch, ServerUnavailable("away"))
    until = time.monotonic() + 60
    with capture_logs() as told, running(data):
        while not any(line["event"] == "tidied" for line in told):
            assert time.monotonic() < until
            threading.Event().wait(0.01)
    assert [line["reason"] for line in told if line["event"] == "cleaning"] == ["away"]
    assert orphan.exists()
