"""PostgreSQL finds what a mirror may see by indexes also before it has counted a table, as after a restore."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, text

from packrat_server import admin
from packrat_server.accounts.rights import Role
from packrat_server.accounts.sessions import Caller
from packrat_server.accounts.visibility import visible_files
from packrat_server.admin.new_server import init
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.tables import package_file_tags, package_files, packages
from support.postgres import Cluster

MANY = 1000
ASKED = range(601, 751)


def fill(connection: Connection) -> None:
    """Files 1, 2, …, each with two tags."""
    connection.execute(text("ALTER TABLE package_file_tags SET (autovacuum_enabled = false)"))
    now = datetime(2026, 1, 2, tzinfo=UTC)
    stamps = {"created": now, "updated": now}
    connection.execute(insert(packages), [{"name": "p", "deprocated_count": 10, "failed_count": 5, **stamps}])
    row = {"package": "p", "distro_version": "bookworm", "type": "deb", "arch": "x86_64", "justification": ""}
    row |= {"provenance": "", "size": 1, "created_by": "admin", **stamps}  # type: ignore[dict-item]
    numbers = range(1, MANY + 1)
    files = [{**row, "version": str(n), "file_name": f"p_{n}_all.deb", "sha256": f"{n:064x}"} for n in numbers]
    connection.execute(insert(package_files), files)
    for tag in ("dev", "prod"):
        tagged = [{"package_file": number, "tag": tag, "by": "admin", "at": now} for number in numbers]
        connection.execute(insert(package_file_tags), tagged)


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from steps(below)


def test_the_files_that_a_mirror_asks_for_are_found_without_reading_all_of_their_tag(
    tmp_path: Path, postgresql: Cluster
) -> None:
    init(tmp_path, postgresql.new_database())
    engine = open_database(tmp_path)
    admin.save_repo(engine, admin.NewRepo("apt-dev", "apt", "dev", ("bookworm",)))
    admin.save_mirror(engine, "lab", ["apt-dev"])
    with writing(engine) as connection:
        fill(connection)
    query = visible_files(Caller("lab", Role.MIRROR)).where(package_files.c.id.in_(ASKED))
    with reading(engine) as connection:
        sql = query.compile(engine, compile_kwargs={"literal_binds": True})
        [plan] = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}").scalar_one()
    engine.dispose()
    assert plan["Plan"]["Actual Rows"] == len(ASKED)
    passed_over = sum(step.get("Rows Removed by Filter", 0) * step["Actual Loops"] for step in steps(plan["Plan"]))
    assert passed_over < MANY, json.dumps(plan, indent=1)
