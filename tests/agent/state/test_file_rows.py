"""A record that is written again leaves the row that it would have left in an empty table."""

from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.model.records import PackageFile
from packrat_agent.state.database import connect
from packrat_agent.state.file_rows import insert_files

FILE = PackageFile("/f/1", "pkg", "bookworm", "1", "deb", "all", "/files/x.deb", "x.deb", "a" * 64, "2026-01-01")


@pytest.mark.parametrize("places", [{}, {"/f/1": "again/pool/pkg/x.deb"}])
def test_nothing_of_a_former_row_is_left(tmp_path: Path, places: dict[str, str]) -> None:
    db = connect(tmp_path / "state.db")
    db.executemany("INSERT INTO repos VALUES (?, '', '', 'apt', '[]', 0, '')", [("new",), ("again",)])
    columns = {name: kind for _, name, kind, *_ in db.execute("PRAGMA table_info (files)")}
    differing = {name: 7 if kind in ("INTEGER", "REAL") else name for name, kind in columns.items()}
    differing |= {"repo": "again", "uri": FILE.uri, "sha256": "b" * 64, "state": "refused"}
    marks = ", ".join("?" * len(columns))
    db.execute(f"INSERT INTO files ({', '.join(differing)}) VALUES ({marks})", tuple(differing.values()))
    for repo in ("new", "again"):
        insert_files(db, repo, [replace(FILE, yanked=False)], 5.0, places)
    rows = db.execute("SELECT * FROM files ORDER BY repo").fetchall()
    assert [row[0] for row in rows] == ["again", "new"]
    assert rows[0][1:] == rows[1][1:]
