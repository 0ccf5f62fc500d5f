"""The original packrat agent's state database: recognized, read without a touch, and set aside."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from packrat_agent.state.database import connect
from packrat_agent.state.original import (
    OriginalFile,
    find_original,
    is_original,
    read_original,
    set_original_aside,
)
from packrat_core.errors import DiskError

_COLUMNS = "repo, uri, file_url, file_type, filename, distro, distro_version, arch, sha256, signed256, repo_data"
_A, _B = "a" * 64, "b" * 64
_DIES_IN_A_TRANSACTION = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN")
db.execute("DELETE FROM files")
db.execute("CREATE TABLE junk (text)")
db.executemany("INSERT INTO junk VALUES (?)", [("x" * 1000,)] * 1000)
os._exit(0)
"""


@pytest.fixture
def state_db(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE control (key, value)")
        db.execute("CREATE TABLE repos (name, uri, manager, filesystem_dir, description, distro_map)")
        db.execute(f"CREATE TABLE files ({_COLUMNS})")
        db.execute("INSERT INTO repos VALUES ('yum', '/r', 'yum', 'repos/yum', '', '{}')")
        add(db, signed256=_B)
    return path


def add(db: sqlite3.Connection, **changed: object) -> None:
    row: dict[str, object] = dict.fromkeys(_COLUMNS.split(", "), "")
    row |= {"repo": "yum", "uri": "/1", "filename": "a.rpm", "distro": "rhel", "distro_version": "9", "arch": "all"}
    row |= {"sha256": _A, "signed256": None, **changed}
    db.execute(f"INSERT INTO files VALUES ({', '.join('?' * len(row))})", list(row.values()))


def bytes_beside(path: Path) -> dict[str, bytes]:
    return {found.name: found.read_bytes() for found in path.parent.iterdir()}


def test_the_original_database_is_told_from_ours_and_from_other_files(state_db: Path, tmp_path: Path) -> None:
    assert is_original(state_db)
    assert not is_original(tmp_path / "missing")
    (tmp_path / "text").write_text("no database")
    assert not is_original(tmp_path / "text")
    connect(tmp_path / "ours").close()
    assert not is_original(tmp_path / "ours")


def test_another_name_of_a_type_is_that_type(state_db: Path) -> None:
    with closing(sqlite3.connect(state_db)) as db, db:
        db.execute("UPDATE repos SET manager = 'yast'")
    assert read_original(state_db).repos["yum"].kind == "yum"


def test_its_files_and_repositories_are_read(state_db: Path) -> None:
    known = read_original(state_db)
    assert known.repos["yum"].directory == "repos/yum"
    assert list(known.files) == [OriginalFile("yum", "/1", "a.rpm", "rhel", "9", "all", _A, _B)]
    assert known.signed_copies() == {_A: frozenset({_B})}


@pytest.mark.parametrize(
    "odd",
    [
        {"filename": "../a.rpm"},
        {"filename": ".."},
        {"filename": ""},
        {"filename": "a\0b"},
        {"filename": 7},
        {"arch": "a/b"},
        {"distro": "/"},
        {"distro_version": ".."},
        {"sha256": "A" * 64},
        {"sha256": "a" * 63},
        {"sha256": b"a" * 64},
        {"signed256": "x"},
        {"repo": "unknown"},
    ],
)
def test_rows_that_make_no_sense_are_left_out(state_db: Path, odd: dict[str, object]) -> None:
    with closing(sqlite3.connect(state_db)) as db, db:
        add(db, **odd)
    assert len(read_original(state_db).files) == 1


def test_a_database_of_an_earlier_version_lacks_columns(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as db:
        for table in ("control", "repos", "files"):
            db.execute(f"CREATE TABLE {table} (name TEXT)")
        db.execute("INSERT INTO files VALUES ('x')")
        db.commit()
    assert is_original(path)
    assert not read_original(path).files


def test_a_transaction_that_was_cut_off_is_undone(state_db: Path) -> None:
    subprocess.run([sys.executable, "-c", _DIES_IN_A_TRANSACTION, str(state_db)], check=True)
    assert state_db.with_name("state.db-journal").exists()
    before = bytes_beside(state_db)
    assert is_original(state_db)
    assert len(read_original(state_db).files) == 1
    assert bytes_beside(state_db) == before
    aside = set_original_aside(state_db)
    # A journal would be taken for that of the database that is made here now.
    assert list(bytes_beside(state_db)) == ["state.db.original"]
    assert len(read_original(aside).files) == 1


def test_an_agent_that_is_at_work_is_reported(state_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packrat_agent.state.original._BUSY_S", 0.01)
    with closing(sqlite3.connect(state_db, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(DiskError, match="stop that agent"):
            set_original_aside(state_db)
    assert is_original(state_db)


def test_a_database_set_aside_is_found_and_never_overwritten(state_db: Path) -> None:
    assert find_original(state_db) == state_db
    content = state_db.read_bytes()
    aside = set_original_aside(state_db)
    assert aside.name == "state.db.original"
    assert find_original(state_db) == aside
    state_db.write_bytes(content)
    second = set_original_aside(state_db)
    assert second.name == "state.db.original-2"
    assert find_original(state_db) == second
    assert aside.exists()
