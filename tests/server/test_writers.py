"""Writers take turns: none waits for long because others were quicker to try again."""

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from packrat_core.errors import ServerUnavailable
from packrat_server.admin.new_server import init
from packrat_server.store import sqlite
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.journal import note_mirror
from packrat_server.store.sqlite import LOG_LIMIT_BYTES
from packrat_server.store.tables import journal
from support.server_data import new_server_data

WRITERS, EACH = 10, 5


def fail_at_once(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA busy_timeout=0")


def test_many_writers_need_no_second_try(tmp_path: Path, new_database: Callable[[], str | None]) -> None:
    init(tmp_path / "server", new_database())
    engine = open_database(tmp_path / "server")
    if engine.dialect.name == "sqlite":
        engine.dispose()
        event.listen(engine, "connect", fail_at_once)
    together = threading.Barrier(WRITERS)

    def work(_: int) -> None:
        together.wait()
        for _number in range(EACH):
            with writing(engine) as connection:
                note_mirror(connection, "lab")

    with ThreadPoolExecutor(WRITERS) as threads:
        list(threads.map(work, range(WRITERS)))
    with reading(engine) as connection:
        count = select(func.count()).select_from(journal).where(journal.c.mirror == "lab")
        assert connection.execute(count).scalar() == WRITERS * EACH
    engine.dispose()


def test_a_writer_that_does_not_end_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT_S", 0.1)
    init(tmp_path / "server")
    engine = open_database(tmp_path / "server")
    with ThreadPoolExecutor(1) as thread, writing(engine):

        def work() -> None:
            with writing(engine):
                pass

        with pytest.raises(ServerUnavailable, match="written by others"):
            thread.submit(work).result()
    with writing(engine):
        pass
    engine.dispose()


def test_a_log_that_grew_while_another_program_read_is_cut_back(tmp_path: Path) -> None:
    new_server_data(tmp_path / "server")
    engine = open_database(tmp_path / "server")
    log = tmp_path / "server" / "packrat.db-wal"
    with closing(sqlite3.connect(tmp_path / "server" / "packrat.db", isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM packages").fetchone()
        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE large (content)")
            connection.exec_driver_sql(f"INSERT INTO large VALUES (zeroblob({2 * LOG_LIMIT_BYTES}))")
        assert log.stat().st_size > 2 * LOG_LIMIT_BYTES
    # One change puts into the database what the log has, the next one begins the log anew.
    for _ in range(2):
        with writing(engine) as connection:
            note_mirror(connection, "lab")
    assert log.stat().st_size <= LOG_LIMIT_BYTES
    engine.dispose()
