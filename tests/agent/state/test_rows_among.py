"""Exactly the rows that have one of many values are read, whatever a name is made of."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packrat_agent.state.database import Database
from packrat_agent.state.rows_among import is_utf8, read_among

_SQL = "SELECT path FROM published_names WHERE sha256 = ?"
_KNOWN = ["a", "b", "b/c", "caf\u00e9", "\u65e5\u672c", *(f"n{number:04}" for number in range(1200))]
_NAMES = st.binary(max_size=4).map(lambda name: name.decode("utf-8", "surrogateescape"))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "state.db")
    with database.transaction() as write:
        write.executemany("INSERT INTO published_names VALUES (?, 'x')", [(path,) for path in _KNOWN])
        write.execute("INSERT INTO published_names VALUES ('other', 'y')")
    yield database
    database.close()


@given(st.sets(_NAMES | st.sampled_from([*_KNOWN[:8], "other"])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exactly_the_rows_with_a_value_come(db: Database, asked: set[str]) -> None:
    assert [path for (path,) in read_among(db, _SQL, ("x",), "path", asked)] == sorted(asked.intersection(_KNOWN))


@pytest.mark.parametrize("number", [0, 1, 499, 500, 501, 1000, 1001, 1205])
def test_each_of_many_values_is_found_once(db: Database, number: int) -> None:
    asked = sorted(_KNOWN)[:number]
    assert [path for (path,) in read_among(db, _SQL, ("x",), "path", asked)] == asked


def test_without_values_all_rows_come(db: Database) -> None:
    assert sorted(path for (path,) in read_among(db, _SQL, ("x",), "path", None)) == sorted(_KNOWN)


@given(st.binary(max_size=6))
def test_a_name_is_utf_8_if_its_bytes_are(name: bytes) -> None:
    try:
        name.decode()
        expected = True
    except UnicodeDecodeError:
        expected = False
    assert is_utf8(name.decode("utf-8", "surrogateescape")) is expected
