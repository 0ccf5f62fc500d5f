"""Both stores that the server's tests run on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.postgres import Cluster
from support.server_data import new_server_data


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest) -> Callable[[], str | None]:
    """Gives the URL of a new PostgreSQL database at each call; None stands for an SQLite file."""
    if request.param == "sqlite":
        return lambda: None
    made: Cluster = request.getfixturevalue("postgresql")
    return made.new_database


@pytest.fixture
def data(tmp_path: Path, new_database: Callable[[], str | None]) -> Path:
    """The data directory of a new server, in which nothing is yet."""
    new_server_data(tmp_path / "server", new_database())
    return tmp_path / "server"
