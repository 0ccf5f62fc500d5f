"""Whether the database takes writes again is tried in a way that every role can."""

from pathlib import Path

import pytest

from packrat_core.errors import ServerUnavailable
from packrat_server.store.database import has_refused_write, open_database, writing
from packrat_server.store.writable import check_writable
from support.postgres import Cluster
from support.server_data import new_server_data


@pytest.mark.parametrize("owner", ["pg_database_owner", "postgres"])
def test_a_refusal_is_forgotten_also_where_the_role_may_make_no_table(
    postgresql: Cluster, tmp_path: Path, owner: str
) -> None:
    name = postgresql.new_database().partition("?")[0].rpartition("/")[2]
    postgresql.execute(f"CREATE ROLE of_{name} LOGIN")
    postgresql.execute(f"ALTER DATABASE {name} OWNER TO of_{name}")
    new_server_data(tmp_path / "server", postgresql.url(name, f"of_{name}"))
    postgresql.execute(f"ALTER SCHEMA public OWNER TO {owner}", postgresql.url(name))
    engine = open_database(tmp_path / "server")
    try:
        with pytest.raises(ServerUnavailable), writing(engine) as connection:
            connection.exec_driver_sql("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(30)")
        with writing(engine):
            # PostgreSQL may take this one, and no larger one.
            pass
        assert has_refused_write(engine)
        check_writable(engine)
        assert not has_refused_write(engine)
        with writing(engine) as connection:
            assert connection.exec_driver_sql("SELECT to_regclass('room_to_write')").scalar_one() is None
    finally:
        engine.dispose()
