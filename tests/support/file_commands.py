"""Runs commands such as `upload` and `tag`, and reads what the server has by then."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from packrat_server.store.database import open_database, reading
from packrat_server.store.tables import package_file_tags, package_files
from support.stage import Server


@dataclass(frozen=True, slots=True)
class Told:
    """What a command said: lines of stdout and stderr."""

    code: int
    out: list[str]
    err: list[str]


def run(server: Server, *words: str | Path, secret: str | None = None) -> Told:
    done = subprocess.run(
        [sys.executable, "-m", "packrat_server.cli", *map(str, words), "--url", server.url],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PACKRAT_PASSWORD": secret or server.password},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Told(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())


def rows(server: Server, file_name: str) -> Sequence[Any]:
    engine = open_database(server.data)
    with reading(engine) as connection:
        found = connection.execute(
            select(package_files).where(package_files.c.file_name == file_name).order_by(package_files.c.id)
        ).all()
    engine.dispose()
    return found


def tags(server: Server, file_name: str) -> list[list[str]]:
    engine = open_database(server.data)
    with reading(engine) as connection:
        query = select(package_file_tags.c.tag).order_by(package_file_tags.c.tag)
        found = [
            list(connection.execute(query.where(package_file_tags.c.package_file == row.id)).scalars())
            for row in rows(server, file_name)
        ]
    engine.dispose()
    return found
