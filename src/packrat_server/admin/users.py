"""Makes, changes and locks out users."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from packrat_core.errors import ConfigError
from packrat_server.accounts.passwords import hash_secret, new_password
from packrat_server.accounts.sessions import Role
from packrat_server.admin.checks import check_name, need
from packrat_server.admin.record_change import Fields, RecordChange, with_secret
from packrat_server.store.database import writing
from packrat_server.store.tables import mirrors, sessions, users


def save_user(engine: Engine, name: str, role: Role, password: str | None = None) -> str:
    """Make a user, or give an existing one this role and a new password; gives the password."""
    secret = password or new_password()
    set_user(engine, name, role, secret)
    return secret


def set_user(engine: Engine, name: str, role: Role | None = None, password: str | None = None) -> RecordChange:
    """Make a user, or change what is given of the one of that name.

    A user who was locked out becomes a user again as if new. Any change ends the user's sessions.

    Args:
        engine: The database.
        name: The name of the user.
        role: None keeps the one that the user has; a new user becomes a manager.
        password: None keeps the one that the user has; a new user gets a generated one.

    Returns:
        What changed, with the password where that is new.

    Raises:
        ConfigError: A value is wrong, or the last administrator would lose the role.
    """
    check_name(name)
    if role not in (None, Role.MANAGER, Role.ADMIN):
        raise ConfigError(f"{role!r} is not a role of a user", hint="give manager or admin")
    with writing(engine) as connection:
        # A login names either a user or a mirror.
        if connection.execute(select(mirrors.c.name).where(mirrors.c.name == name)).first() is not None:
            raise ConfigError(f"{name} is the name of a mirror", hint="give the user another")
        row = connection.execute(select(users).where(users.c.name == name)).first()
        is_active = row is not None and row.active
        before = None if row is None else _fields(row)
        if is_active and role == Role.MANAGER:
            _check_not_last_admin(connection, name)
        secret = password or (None if is_active else new_password())
        now = datetime.now(UTC)
        # Users who were locked out get the default role, not the one that they had.
        values: dict[str, Any] = {} if is_active else {"role": Role.MANAGER, "active": True}
        values |= {} if role is None else {"role": role}
        values |= {} if secret is None else {"password": hash_secret(secret)}
        if row is None:
            connection.execute(insert(users).values(name=name, created=now, updated=now, **values))
        elif values:
            connection.execute(update(users).where(users.c.name == name).values(values))
        after = _fields(connection.execute(select(users).where(users.c.name == name)).one())
        if after != before or secret is not None:
            connection.execute(update(users).where(users.c.name == name).values(updated=now))
            connection.execute(delete(sessions).where(sessions.c.name == name))
    return with_secret(RecordChange(before, after, secret), "password")


def remove_user(engine: Engine, name: str) -> None:
    """Lock a user out: no login, no session; the records of what the user did keep the name.

    Raises:
        ConfigError: There is no such user, or it is the last administrator.
    """
    with writing(engine) as connection:
        need(connection, users, name, "user")
        _check_not_last_admin(connection, name)
        connection.execute(update(users).where(users.c.name == name).values(active=False))
        connection.execute(delete(sessions).where(sessions.c.name == name))


def _fields(row: Row[Any]) -> Fields:
    return {"role": row.role, "state": "active" if row.active else "locked out"}


def _check_not_last_admin(connection: Connection, name: str) -> None:
    others = select(users.c.name).where(users.c.role == Role.ADMIN, users.c.active, users.c.name != name)
    if connection.execute(others).first() is None:
        raise ConfigError(f"{name} is the last administrator", hint="make another first: `user set NAME --role admin`")
