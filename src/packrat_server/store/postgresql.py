"""Connects to a database on a PostgreSQL server.

Takes: a URL as libpq has it.
Gives: a SQLAlchemy engine; what a failure to connect means for whom.
Touches: the network.

Source: PostgreSQL's manual: connection strings, explicit locking, transaction isolation.
"""

import re
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, Engine, create_engine, event

from packrat_core.errors import ConfigError, PackratError, ServerUnavailable

CHANNEL = "packrat_journal"
"""What a session listens to, to hear of every change; the journal's trigger tells it."""

_WRITER = 0x7061636B726174
"""The key of the advisory lock that a writer holds: `packrat`."""

_CONNECTIONS = 20
_WAIT_FOR_CONNECTION_S = 10
_RECYCLE_S = 3600
_SCHEMES = ("postgresql://", "postgres://")

# A peer that went away without a word is noticed within half a minute. A standby takes no changes.
_PARAMETERS = {
    "connect_timeout": "5",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "target_session_attrs": "read-write",
    "application_name": "packrat-server",
}
# A writer waits as long for another as it does on SQLite; one that was stopped in mid-transaction lets the others on.
# Role and database may have other defaults.
_SESSION = (
    "SET client_encoding = 'UTF8'; SET timezone = 'UTC'; SET lock_timeout = '30s'; "
    "SET idle_in_transaction_session_timeout = '60s'; "
    "SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off"
)


def connect_postgresql(url: str) -> Engine:
    """Make an engine for a PostgreSQL database; it connects when it is used.

    One transaction writes at a time, as on SQLite. So what a writer looked up stays true until it commits, and the
    journal's rows become visible in the order of their ids. Else, of two that write at the same time, the one with the
    lower ids could commit after the other, and who had read the higher ones would never look for them.
    Raises: ConfigError where the URL is none.
    """
    text = conninfo(url)

    def connect() -> Any:
        session = psycopg.connect(text, autocommit=True)
        session.execute(_SESSION)
        session.autocommit = False
        return session

    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=_WAIT_FOR_CONNECTION_S,
        pool_recycle=_RECYCLE_S,
        # A session that ended while it lay in the pool is replaced before anybody gets it.
        pool_pre_ping=True,
        logging_name=place(url),
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes", False):
            # Statements that follow see what was committed before the lock was had: READ COMMITTED. It is let go after
            # the commit is visible to all.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER})")

    return engine


def conninfo(url: str) -> str:
    """The connection string of a URL, with what it leaves open.

    Raises: ConfigError
    """
    return make_conninfo(**{**_PARAMETERS, **_parse(url)})


def place(url: str) -> str:
    """The URL without what is secret in it.

    Raises: ConfigError
    """
    parts = _parse(url)
    user = f"{parts['user']}@" if "user" in parts else ""
    host = str(parts.get("host", parts.get("hostaddr", "")))
    socket = f"?host={host}" if host.startswith("/") else ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{user}{'' if socket else host}{port}/{parts.get('dbname', '')}{socket}"


def _parse(url: str) -> dict[str, Any]:
    # The URL itself is not told: it may hold a password.
    wanted = "it is written postgresql://USER@HOST:PORT/NAME"
    if not url.startswith(_SCHEMES):
        raise ConfigError(f"the database's URL is none of PostgreSQL; {wanted}")
    try:
        return dict(conninfo_to_dict(url))
    except (psycopg.Error, UnicodeError) as error:
        # What libpq quotes may be the password.
        reason = re.split('[:"]', first_line(error))[0].strip()
        raise ConfigError(f"the database's URL can't be read: {reason}; {wanted}") from None


def refusal(url: str, error: Exception) -> PackratError:
    """Tell what it means that a connection could not be made: trouble that may pass, or work for the operator."""
    reason = first_line(error)
    there = pq.PGconn.ping(conninfo(url).encode()) == pq.Ping.OK
    if there:
        # It may have been about to start. What it says from now on, it means.
        try:
            psycopg.connect(conninfo(url)).close()
            there = False
        except psycopg.Error as again:
            reason = first_line(again)
    if not there:
        return ServerUnavailable(
            f"{place(url)} can't be reached: {reason}; see that PostgreSQL runs there and lets this machine in"
        )
    if "too many" in reason or "connection slots" in reason:
        return ServerUnavailable(f"{place(url)} has no connection left: {reason}; raise its max_connections")
    return ConfigError(
        f"{place(url)} can't be opened: {reason}; mend the role, its password (PGPASSWORD, or the file of mode 0600 "
        "that PGPASSFILE or passfile= names), the database, or pg_hba.conf"
    )


def first_line(error: BaseException) -> str:
    """What a driver says, in one line."""
    text = " ".join(str(error).split("\n\t")[0].split())
    return text.removeprefix("connection failed: ").removeprefix("connection is bad: ")
