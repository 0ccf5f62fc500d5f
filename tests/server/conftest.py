"""Both stores that the server's tests run on."""

from collections.abc import Callable

import pytest

from support.postgres import Cluster


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest) -> Callable[[], str | None]:
    """Gives the URL of a new PostgreSQL database at each call; None stands for an SQLite file."""
    if request.param == "sqlite":
        return lambda: None
    made: Cluster = request.getfixturevalue("postgresql")
    return made.new_database
