"""Connects to a PostgreSQL database, and explains why a connection could not be made.

A server on SQLite has these names, too, and its start does not wait for the driver: what needs psycopg imports it.

Source: PostgreSQL's manual: connection strings, explicit locking, transaction isolation.
"""

import re
import time
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from packrat_core.errors import ConfigError, PackratError, ServerUnavailable

CHANNEL = "packrat_journal"
"""The channel that a trigger of the journal notifies of every change."""

_WRITER = 0x7061636B726174
"""The key of the advisory lock that a writer holds: the letters `packrat`."""

THREADS = 20
"""Number of threads that answer requests: no more than connections, so that none waits for one that another has."""
_CONNECTIONS = THREADS + 4
"""Two more for logins, which have threads of their own, one for cleaning, one to spare."""
_WAIT_FOR_CONNECTION_S = 10.0
_LOOK_FOR_CONNECTION_S = 0.25
_RECYCLE_S = 3600
_LOCK_NOT_AVAILABLE = "55P03"
"""The SQLSTATE of a lock that was waited for too long."""
_TOO_MANY_CONNECTIONS = "53300"
"""The SQLSTATE of a connection that is one too many."""
_CONNECTION_LOST = "08"
"""The class of the SQLSTATEs of a connection that is lost; the driver often gives none."""
_AWAY = ("57P01", "57P02", "57P03", "25006")
"""The SQLSTATEs of a stop, a crash, a start that is under way, and of a server that takes no changes."""
_NO_CONNECTION_WORDS = ("too many", "connection slots")
"""What PostgreSQL in English and PgBouncer say of it; before the login, the driver gives no SQLSTATE."""
_NO_CONNECTION_HINT = (
    "raise its max_connections, or the connection limit of the role or database that the reason names, "
    "or see in pg_stat_activity who has the connections"
)
_READ_ONLY_HINT = (
    "name the primary server in the URL; if it is that, take default_transaction_read_only off role and database"
)
_NOBODY = "no-such-role-of-packrat"
_BEHIND_SEVERITY = ":  "
"""What the driver writes, in every language, between the two parts of a message that comes from PostgreSQL."""
_SESSION_ID = "SELECT pg_backend_pid()"
_LOOKS_FOR_LOANS = 3
_SCHEMES = ("postgresql://", "postgres://")

# A peer that vanishes is noticed within half a minute. A standby server is skipped, since it takes no changes.
_PARAMETERS = {
    "connect_timeout": "5",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "target_session_attrs": "read-write",
    "application_name": "packrat-server",
}
# All set explicitly, since the role or database may have other defaults. A reader waits for a lock as long as
# callers put up with, so that VACUUM FULL or an ALTER TABLE doesn't keep all threads. One that hangs within a
# transaction is ended, so that the others go on. A statement has no limit besides: it may wait for another writer.
SESSION = (
    "SET client_encoding = 'UTF8'; SET timezone = 'UTC'; SET datestyle = 'ISO'; SET extra_float_digits = 1; "
    "SET lock_timeout = '5s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '60s'; "
    "SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off; "
    # Not every version has these.
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout')"
)
"""The settings that each session begins with."""


def connect_postgresql(url: str) -> Engine:
    """Make an engine for a PostgreSQL database; it connects when it is used.

    One transaction writes at a time, as on SQLite. So what a writer has read stays true until it commits, and the rows
    of the journal become visible in the order of their ids. With two writers at a time, the one with the lower ids
    could commit last, and a mirror that has read the higher ids would never ask for the lower ones.

    Raises:
        ConfigError: The URL is malformed.
    """
    import psycopg

    text = conninfo(url)

    def connect() -> Any:
        try:
            session = psycopg.connect(text, autocommit=True)
        except psycopg.OperationalError as error:
            if lacks_connections(url, error):
                raise psycopg.errors.TooManyConnections(str(error)) from error
            raise
        session.execute(SESSION)
        session.autocommit = False
        return session

    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=_WAIT_FOR_CONNECTION_S,
        pool_recycle=_RECYCLE_S,
        # A connection that ended while it was in the pool is replaced before it is used.
        pool_pre_ping=True,
        logging_name=place(url),
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes", False):
            # With READ COMMITTED, the statements that follow see all that was committed before the lock was taken.
            # PostgreSQL releases the lock after the commit is visible to all.
            # A writer waits for another one, and for other programs, as long as on SQLite.
            connection.exec_driver_sql(
                f"SELECT set_config('lock_timeout', '30s', true), pg_advisory_xact_lock({_WRITER})"
            )

    return engine


def take_connection(engine: Engine) -> Connection:
    """Take a connection; if PostgreSQL has none left, wait for one that another thread gives back.

    Raises:
        OperationalError: PostgreSQL can't be reached, or has had no connection left for a while.
    """
    until = time.monotonic() + _WAIT_FOR_CONNECTION_S
    while True:
        try:
            return engine.connect()
        except OperationalError as error:
            if error.orig is None or not hint_of(error.orig) or time.monotonic() >= until:
                raise
        time.sleep(_LOOK_FOR_CONNECTION_S)


def is_pooled(connection: Connection) -> bool:
    """Tell whether a connection leads to a pooler, which numbers its sessions in its own way."""
    told = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr] # psycopg's, which is open
    return bool(connection.exec_driver_sql(_SESSION_ID).scalar_one() != told)


def check_pooler(engine: Engine) -> None:
    """Check that a pooler leaves each session to its client, as prepared statements, settings and LISTEN need.

    One that lends sessions for single transactions gives the session that was free last to whoever asks next.

    Raises:
        ConfigError: It lends them.
    """
    with take_connection(engine) as first, take_connection(engine) as second:
        for _ in range(_LOOKS_FOR_LOANS):
            own = _session_of(first)
            with second.begin():
                others = second.exec_driver_sql(_SESSION_ID).scalar_one()
                is_lent = others == own or _session_of(first) != own
            if is_lent:
                raise refuse_pooler(str(engine.logging_name), "transactions")


def refuse_pooler(database: str, units: str) -> ConfigError:
    """Make the error for a pooler that lends sessions for single transactions or statements."""
    return ConfigError(
        f"{database} is a pooler that lends sessions of PostgreSQL for single {units}",
        hint="name PostgreSQL itself in the URL, or set `pool_mode = session` in PgBouncer",
    )


def lends_for_statements(reason: str) -> bool:
    """Tell whether a pooler gives its mode as the reason for refusing a transaction."""
    return "statement pooling mode" in reason


def _session_of(connection: Connection) -> int:
    """The process of PostgreSQL that serves a connection for one transaction."""
    with connection.begin():
        return int(connection.exec_driver_sql(_SESSION_ID).scalar_one())


def is_passing(error: BaseException) -> bool:
    """Tell whether PostgreSQL works, and only has no connection left or has locked what is asked for."""
    return bool(hint_of(error))


def is_away(error: BaseException) -> bool:
    """Tell whether PostgreSQL can't be reached, ended the session, or takes no changes until a standby takes over."""
    sqlstate = getattr(error, "sqlstate", None)
    return sqlstate is None or sqlstate[:2] == _CONNECTION_LOST or sqlstate in _AWAY


def connects(error: BaseException) -> bool:
    """Tell whether a driver's error is from making a connection, and not from a statement."""
    return getattr(error, "sqlstate", None) in (None, _TOO_MANY_CONNECTIONS)


def conninfo(url: str) -> str:
    """Write the connection string of a URL, with defaults for what it leaves out.

    Raises:
        ConfigError: The URL is malformed.
    """
    from psycopg.conninfo import make_conninfo

    return make_conninfo(**{**_PARAMETERS, **_parse(url)})


def place(url: str) -> str:
    """Write the URL without its secrets, for messages.

    Raises:
        ConfigError: The URL is malformed.
    """
    parts = _parse(url)
    user = f"{parts['user']}@" if "user" in parts else ""
    host = str(parts.get("host", parts.get("hostaddr", "")))
    socket = f"?host={host}" if host.startswith("/") else ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{user}{'' if socket else host}{port}/{parts.get('dbname', '')}{socket}"


def _parse(url: str) -> dict[str, Any]:
    from psycopg import Error
    from psycopg.conninfo import conninfo_to_dict

    # No message shows the URL itself: it may hold a password.
    usage = "write postgresql://USER@HOST:PORT/NAME"
    if not url.startswith(_SCHEMES):
        raise ConfigError("the database's URL is not a PostgreSQL URL", hint=usage)
    try:
        return dict(conninfo_to_dict(url))
    except (Error, UnicodeError) as error:
        # libpq quotes the part that it does not understand, which may be the password.
        reason = re.split('[:"]', first_line(error))[0].strip()
        raise ConfigError(f"the database's URL can't be read: {reason}", hint=usage) from None


def refusal(url: str, error: Exception) -> PackratError:
    """Explain why a connection could not be made: trouble that may pass, or something that the operator must change.

    Args:
        url: The database.
        error: What the driver raised.

    Returns:
        ServerUnavailable where PostgreSQL is away or busy, ConfigError where it refuses the role or the database.
    """
    import psycopg
    from psycopg import pq

    reason = first_line(error)
    is_running = pq.PGconn.ping(conninfo(url).encode()) == pq.Ping.OK
    if is_running:
        # It may have been starting a moment ago; now that it answers, its reason is final.
        try:
            psycopg.connect(conninfo(url)).close()
            is_running = False
        except psycopg.Error as again:
            error, reason = again, first_line(again)
    if not is_running:
        return ServerUnavailable(
            f"{place(url)} can't be reached: {reason}", hint="see that PostgreSQL runs there and lets this machine in"
        )
    if "read-only" in reason:
        # A standby may be made the primary server yet.
        return ServerUnavailable(f"{place(url)} takes no changes: {reason}", hint=_READ_ONLY_HINT)
    if lacks_connections(url, error):
        return ServerUnavailable(f"{place(url)} has no connection left: {reason}", hint=_NO_CONNECTION_HINT)
    return ConfigError(
        f"{place(url)} can't be opened: {reason}",
        hint=(
            "correct the role, its password (PGPASSWORD, or the file of mode 0600 "
            "that PGPASSFILE or passfile= names), the database, or pg_hba.conf"
        ),
    )


def lacks_connections(url: str, error: BaseException) -> bool:
    """Tell whether a connection was refused since PostgreSQL has none left, in whatever language it says so."""
    from psycopg import pq

    reason = first_line(error)
    if any(words in reason for words in _NO_CONNECTION_WORDS):
        return True
    if not connects(error) or _BEHIND_SEVERITY not in str(error):
        return False
    # One that starts or stops refuses everybody, too.
    return pq.PGconn.ping(conninfo(url).encode()) == pq.Ping.OK and _refuses_everybody(url, reason)


def _refuses_everybody(url: str, reason: str) -> bool:
    """Tell whether PostgreSQL refuses another role in the same words, as it does where it has no connection left.

    It says so in the language of its operator, and the driver gives no SQLSTATE of what it says before the login. The
    other reasons that it may have name the role, or come up only for one that exists. What the driver itself complains
    of, such as a password that nobody gave, is the same for everybody, too.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo

    try:
        psycopg.connect(make_conninfo(conninfo(url), user=_NOBODY)).close()
    except psycopg.Error as other:
        return _BEHIND_SEVERITY in str(other) and first_line(other) == reason
    return False


def hint_of(error: BaseException) -> str:
    """Say what to do where PostgreSQL has no connection left, or others lock it; nothing about other errors."""
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate == _LOCK_NOT_AVAILABLE:
        return "see in pg_locks who holds the lock, and end that"
    return _NO_CONNECTION_HINT if sqlstate == _TOO_MANY_CONNECTIONS else ""


def first_line(error: BaseException) -> str:
    """Write the message of a driver in one line."""
    text = " ".join(str(error).split("\n\t")[0].split())
    return text.removeprefix("connection failed: ").removeprefix("connection is bad: ")
