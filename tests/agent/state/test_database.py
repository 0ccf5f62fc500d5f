"""The state database as a file: its transactions, what the disk does to them, its migrations and copies."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from packrat_agent.state.database import Database, connect, copy_database
from packrat_core.errors import ConfigError, DiskError

_ADD = "INSERT INTO events (at, word, repo, text) VALUES (1, ?, NULL, 'x')"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/state.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    made = Database(path)
    yield made
    made.close()


def words(database: Database) -> list[str]:
    return [word for (word,) in database.rows("SELECT word FROM events ORDER BY id")]


def test_a_connection_has_the_settings_that_keep_its_promises(database: Database) -> None:
    found = {name: database.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "foreign_keys", "busy_timeout")}
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 10_000}
    assert database.rows("PRAGMA synchronous") == [(1,)]


def test_only_a_durable_transaction_waits_for_the_disk(database: Database) -> None:
    for durable, level in ((True, 2), (False, 1), (False, 1), (True, 2), (True, 2), (False, 1)):
        with database.transaction(durable=durable) as db:
            assert db.execute("PRAGMA synchronous").fetchall() == [(level,)]


def test_a_transaction_is_the_only_writer_from_its_start(database: Database, path: Path) -> None:
    with (
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other,
        database.transaction(),
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("BEGIN IMMEDIATE")


def test_a_thread_waits_for_the_transaction_of_another(database: Database) -> None:
    def add() -> None:
        with database.transaction() as db:
            db.execute(_ADD, ("other",))

    thread = threading.Thread(target=add)
    with pytest.raises(ZeroDivisionError), database.transaction() as db:
        db.execute(_ADD, ("undone",))
        thread.start()
        thread.join(0.1)
        _ = 1 // 0
    thread.join()
    assert words(database) == ["other"]


def test_a_transaction_inside_another_is_part_of_it(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as db:
        with database.transaction() as inner:
            inner.execute(_ADD, ("inner",))
        db.execute(_ADD, ("outer",))
        _ = 1 // 0
    assert words(database) == []


def test_a_full_disk_is_reported_and_nothing_is_kept(database: Database) -> None:
    ((pages,),) = database.rows("PRAGMA page_count")
    database.rows(f"PRAGMA max_page_count = {pages}")
    with (
        pytest.raises(DiskError, match=r"can't write the state database: .*full; free some space"),
        database.transaction() as db,
    ):
        db.execute(_ADD, ("kept",))
        db.execute(_ADD, ("x" * 1_000_000,))
    database.rows(f"PRAGMA max_page_count = {pages + 1000}")
    assert words(database) == []
    with database.transaction() as db:
        db.execute(_ADD, ("later",))
    assert words(database) == ["later"]


def test_an_error_is_reported_though_sqlite_has_rolled_back_already(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as db:
        db.execute("ROLLBACK")
        _ = 1 // 0
    with database.transaction() as db:
        db.execute(_ADD, ("later",))


def test_an_unreadable_or_damaged_database_is_reported(database: Database, path: Path) -> None:
    with pytest.raises(DiskError, match="can't read the state database: no such table"):
        database.rows("SELECT * FROM missing")
    with database.transaction() as db:
        for _ in range(1000):
            db.execute(_ADD, ("word" * 100,))
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        # Behind the pages that hold the schema.
        half = path.stat().st_size // 2
        file.seek(half)
        file.write(b"\xff" * half)
    database.rows("PRAGMA shrink_memory")
    with (
        closing(Database(path)) as again,
        pytest.raises(DiskError, match=r"the state database is damaged .*move it away"),
    ):
        words(again)


def test_a_fault_of_the_program_is_not_taken_for_one_of_the_disk(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as db:
        db.execute("INSERT INTO events (at, word, repo, text) VALUES (1, NULL, NULL, 'x')")


def test_a_database_is_migrated_once(database: Database, path: Path) -> None:
    with database.transaction() as db:
        db.execute(_ADD, ("first",))
    with closing(Database(path)) as again:
        assert words(again) == ["first"]


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    first = resources.files("packrat_agent.state") / "migrations" / "0001_first.sql"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(f"BEGIN; {first.read_text('utf-8')} PRAGMA user_version = 1; COMMIT;")
        # The second migration makes this table after it has changed others.
        db.execute("CREATE TABLE old_publications (x)")
        before = db.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
        with pytest.raises(ConfigError, match="old_publications already exists"):
            connect(path)
        assert db.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall() == before
        assert db.execute("PRAGMA user_version").fetchall() == [(1,)]
        db.execute("DROP TABLE old_publications")
    connect(path).close()


def test_a_copy_holds_what_is_not_yet_folded_in_and_none_is_made_of_nothing(
    database: Database, path: Path, tmp_path: Path
) -> None:
    with database.transaction() as db:
        db.execute(_ADD, ("first",))
    with closing(sqlite3.connect(copy_database(path, tmp_path / "copy.db"))) as copy:
        assert copy.execute("SELECT word FROM events").fetchall() == [("first",)]
    missing = tmp_path / "missing.db"
    copy_database(missing, tmp_path / "copy2.db")
    assert not missing.exists()
    assert not (tmp_path / "copy2.db").exists()


def test_a_database_that_no_migration_fits_is_not_taken_for_a_fault_of_the_disk(path: Path) -> None:
    connect(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE repos RENAME TO of_another_program")
        # As that of an early version, which migrations bring up to date.
        db.execute("PRAGMA user_version = 4")
    with pytest.raises(ConfigError) as refused:
        connect(path)
    assert str(refused.value).startswith(f"{path} is damaged or not a database of packrat-agent (")
    assert "move it away" in refused.value.hint
