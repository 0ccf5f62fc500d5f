"""A change that is refused leaves nothing behind on its connection: what others write afterwards is seen.

On SQLite a SELECT that was not read to its end keeps its transaction's view of the database, even after the rollback.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from packrat_server.admin.new_server import init
from packrat_server.inspect_file import Inspected
from packrat_server.promotion.package_files import NewFile, create_file, create_package
from packrat_server.promotion.promote import mark_file, tag_file, untag_file
from packrat_server.promotion.rules import Rejected
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.events import Author
from packrat_server.store.tables import package_files, packages

NOW = datetime.now(UTC)
ADMIN = Author("admin")


def add_file(connection: Connection, distro: str, **values: object) -> int:
    row = {"package": "hello", "distro_version": distro, "version": "1.0", "type": "deb", "arch": "all", "size": 1}
    row |= {"justification": "", "provenance": "", "file_name": "hello_1.0_all.deb", "sha256": "0" * 64}
    row |= {"created_by": "admin", "created": NOW, "updated": NOW, **values}
    made = connection.execute(insert(package_files).values(row)).inserted_primary_key
    assert made is not None
    return int(made[0])


def create_other_bytes(connection: Connection, _file_id: int) -> None:
    upload: Any = SimpleNamespace(file_name="hello_1.0_all.deb", sha256="1" * 64, size=1)
    inspected = Inspected("hello", "1.0", "deb", "all")
    create_file(connection, upload, inspected, NewFile("", "", "bookworm"), ADMIN)


REFUSED: dict[str, Callable[[Connection, int], None]] = {
    "NOT_TAGGED": lambda connection, file_id: untag_file(connection, file_id, "dev", ADMIN),
    "TAG_REQUIRED": lambda connection, file_id: tag_file(connection, file_id, "prod", "CHG-1", ADMIN),
    "FAILED": lambda connection, file_id: mark_file(connection, file_id, "deprocated", ADMIN),
    "EXISTS": lambda connection, _file_id: create_package(connection, "hello", ADMIN),
    "FILENAME_USED": create_other_bytes,
}


@pytest.mark.parametrize("code", REFUSED)
def test_changes_of_others_are_seen_after_a_refusal(
    tmp_path: Path, new_database: Callable[[], str | None], code: str
) -> None:
    init(tmp_path / "server", new_database())
    engine, other = open_database(tmp_path / "server"), open_database(tmp_path / "server")
    with writing(engine) as connection:
        create_package(connection, "hello", ADMIN)
        file_id = add_file(connection, "trixie")
        add_file(connection, "noble")
        if code == "FAILED":
            mark_file(connection, file_id, "failed", ADMIN)
    # `refusal` holds the frames of the refused change, as a garbage collection that has not come yet does.
    with pytest.raises(Rejected) as refusal, writing(engine) as connection:
        REFUSED[code](connection, file_id)
    assert refusal.value.code == code
    with writing(other) as connection:
        create_package(connection, "later", ADMIN)
    with reading(engine) as connection:
        assert "later" in connection.execute(select(packages.c.name)).scalars().all()
    with writing(engine) as connection:
        create_package(connection, "last", ADMIN)
    engine.dispose()
    other.dispose()
