"""What stands before PostgreSQL: defaults of sessions make no difference, and a pooler must not lend sessions."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, time

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import select

from packrat_core.errors import ConfigError, ServerUnavailable
from packrat_server.accounts.sessions import SESSION_S
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.tables import sessions
from support.pooler import pooler
from support.postgres import Cluster
from support.server_data import new_server_data
from support.world import World, world

RECORD = "/api/v2/Package/PackageFile:7:"
DEV = {"tag": "/api/v2/Attrib/Tag:dev:"}
SETTINGS = (
    *("statement_timeout = '50ms'", "lock_timeout = '50ms'", "idle_session_timeout = '50ms'"),
    *("datestyle = 'SQL, DMY'", "extra_float_digits = -10", "bytea_output = 'escape'", "client_encoding = 'LATIN1'"),
    *("standard_conforming_strings = off", "default_transaction_isolation = 'serializable'", "search_path = 'public'"),
)
_OLD = "now() - {} > '500 ms' AND datname = current_database() AND pid <> pg_backend_pid()"
WAITS = f"SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND {_OLD.format('query_start')}"
LISTENS = f"SELECT pid FROM pg_stat_activity WHERE query LIKE '%max(id)%' AND {_OLD.format('state_change')}"


def test_the_defaults_of_a_database_make_no_difference(postgresql: Cluster, tmp_path: Path) -> None:
    url = postgresql.new_database()
    for setting in SETTINGS:
        postgresql.execute(f"ALTER DATABASE {conninfo_to_dict(url)['dbname']} SET {setting}")
    with world(tmp_path, url) as server:
        assert server.call("GET", RECORD).value["created"] is not None
        assert_long_waits_are_waited(server, url)


def assert_long_waits_are_waited(server: World, url: str) -> None:
    engine = open_database(server.data)
    server.auth("manager")
    with reading(engine) as connection:
        # A time has all its digits.
        (ends,) = connection.execute(select(sessions.c.expires).where(sessions.c.name == "manager")).scalars()
        assert ends == pytest.approx(time() + SESSION_S, abs=600)
    with psycopg.connect(url, autocommit=True, options="-c statement_timeout=0 -c idle_session_timeout=0") as other:
        with ThreadPoolExecutor(1) as pool:
            with writing(engine):
                change = pool.submit(server.call, "CALL", f"{RECORD}(tag)", DEV, "manager")
                while not change.done() and other.execute(WAITS).fetchone() != (1,):
                    pass
            assert change.result().status == 200
        # The session that waits for changes of other processes is not ended in the meantime.
        until = monotonic() + 30
        while (listening := other.execute(LISTENS).fetchone()) is None:
            assert monotonic() < until, "no session listens for long"
        assert listening[0] > 0
    engine.dispose()


def test_a_pooler_that_leaves_sessions_to_their_clients_is_taken(postgresql: Cluster, tmp_path: Path) -> None:
    url = postgresql.new_database()
    with pooler(postgresql, url, "session") as pooled, world(tmp_path, pooled) as server:
        assert_long_waits_are_waited(server, url)


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_lends_sessions_is_refused(postgresql: Cluster, tmp_path: Path, mode: str) -> None:
    url = postgresql.new_database()
    with pooler(postgresql, url, mode) as pooled:
        with pytest.raises(ConfigError, match=f"lends sessions of PostgreSQL for single {mode}s") as refused:
            new_server_data(tmp_path / "refused", pooled)
        assert "pool_mode = session" in refused.value.hint
        new_server_data(tmp_path / "server", url)
        (tmp_path / "server" / "database").write_text(pooled)
        with pytest.raises(ConfigError, match="lends sessions"):
            open_database(tmp_path / "server")


def test_a_database_that_takes_no_changes_is_waited_for_and_told_how_to_mend(
    postgresql: Cluster, tmp_path: Path
) -> None:
    url = postgresql.new_database()
    name = conninfo_to_dict(url)["dbname"]
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(ServerUnavailable, match=r"takes no changes: .*read-only") as refused:
        new_server_data(tmp_path / "server", url)
    assert "default_transaction_read_only" in refused.value.hint
