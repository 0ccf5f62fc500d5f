"""Makes, changes and locks out users."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from packrat_core.errors import ConfigError
from packrat_server.accounts.passwords import hash_secret, new_password
from packrat_server.accounts.rights import GRANTABLE, USER_ROLES, Role, tag_right
from packrat_server.admin.checks import check_name, need
from packrat_server.admin.record_change import APPROVED, Approval, Fields, RecordChange, with_secret
from packrat_server.admin.submit_change import submit_change
from packrat_server.store.database import writing
from packrat_server.store.tables import mirrors, sessions, tags, user_rights, users


def save_user(engine: Engine, name: str, role: Role, password: str | None = None) -> str:
    """Make a user, or give an existing one this role and a new password; gives the password.

    Args:
        engine: The database.
        name: The name of the user.
        role: The role.
        password: The password; None makes one.
    """
    secret = password or new_password()
    set_user(engine, name, role, secret)
    return secret


def set_user(
    engine: Engine,
    name: str,
    role: Role | None = None,
    password: str | None = None,
    rights: Sequence[str] | None = None,
    approval: Approval = APPROVED,
) -> RecordChange:
    """Make a user, or change what is given of the one of that name.

    A user who was locked out becomes a user again as if new. Any change ends the user's sessions.

    Args:
        engine: The database.
        name: The name of the user.
        role: None keeps the one that the user has; a new user becomes a manager.
        password: None keeps the one that the user has; a new user gets a generated one.
        rights: All rights beyond those of the role, such as `tag_dev`; None keeps those that the user has.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What changed, with the password where that is new.

    Raises:
        ConfigError: A value is wrong, or the last administrator would lose the role.
    """
    _check_given(name, role)
    with writing(engine) as connection:
        # A login names either a user or a mirror.
        if connection.execute(select(mirrors.c.name).where(mirrors.c.name == name)).first() is not None:
            raise ConfigError(f"{name} is the name of a mirror", hint="give the user another")
        row = connection.execute(select(users).where(users.c.name == name)).first()
        before = None if row is None else _fields(connection, row)
        if row is not None and row.active and role not in (None, Role.ADMIN):
            _check_not_last_admin(connection, name)
        secret = _write(connection, row, name, role, password)
        if rights is not None:
            _replace_rights(connection, name, rights)
        after = _read_fields(connection, name)
        _check_promoter(after, name)
        if after != before or secret is not None:
            connection.execute(update(users).where(users.c.name == name).values(updated=datetime.now(UTC)))
            connection.execute(delete(sessions).where(sessions.c.name == name))
        change = with_secret(RecordChange(before, after, secret), "password")
        submit_change(connection, "Auth/User", name, change, approval)
    return change


def remove_user(engine: Engine, name: str, approval: Approval = APPROVED) -> RecordChange:
    """Lock a user out: no login, no session; the records of what the user did keep the name.

    Args:
        engine: The database.
        name: The name of the user.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What changed.

    Raises:
        ConfigError: There is no such user, or it is the last administrator.
    """
    with writing(engine) as connection:
        need(connection, users, name, "user")
        before = _read_fields(connection, name)
        _check_not_last_admin(connection, name)
        connection.execute(delete(user_rights).where(user_rights.c.user == name))
        connection.execute(update(users).where(users.c.name == name).values(active=False, updated=datetime.now(UTC)))
        connection.execute(delete(sessions).where(sessions.c.name == name))
        change = RecordChange(
            before, _fields(connection, connection.execute(select(users).where(users.c.name == name)).one())
        )
        submit_change(connection, "Auth/User", name, change, approval, "remove")
    return change


def _check_given(name: str, role: Role | None) -> None:
    check_name(name, "user")
    if role is not None and role not in USER_ROLES:
        raise ConfigError(f"--role: {role!r} is not a role of a user", hint=f"give one of {', '.join(USER_ROLES)}")


def _write(
    connection: Connection, row: Row[Any] | None, name: str, role: Role | None, password: str | None
) -> str | None:
    """Write a user's row; gives the password where it is new.

    Args:
        connection: A writing transaction.
        row: The user's row as it is; None for a new user.
        name: The name of the user.
        role: The role; None keeps it.
        password: The password; None keeps it.
    """
    is_active = row is not None and row.active
    secret = password or (None if is_active else new_password())
    # Users who were locked out get the default role, not the one that they had.
    values: dict[str, Any] = {} if is_active else {"role": Role.MANAGER, "active": True}
    values |= {} if role is None else {"role": role}
    values |= {} if secret is None else {"password": hash_secret(secret)}
    if row is None:
        now = datetime.now(UTC)
        connection.execute(insert(users).values(name=name, created=now, updated=now, **values))
    elif values:
        connection.execute(update(users).where(users.c.name == name).values(values))
    return secret


def _read_fields(connection: Connection, name: str) -> Fields:
    return _fields(connection, connection.execute(select(users).where(users.c.name == name)).one())


def _fields(connection: Connection, row: Row[Any]) -> Fields:
    rights = connection.execute(
        select(user_rights.c.right).where(user_rights.c.user == row.name).order_by(user_rights.c.right)
    ).scalars()
    state = "active" if row.active else "locked out"
    return {"role": row.role, "further rights": ", ".join(rights), "state": state}


def _replace_rights(connection: Connection, name: str, rights: Sequence[str]) -> None:
    """Give a user these rights beyond the role; an empty text among them stands for none.

    Args:
        connection: A writing transaction.
        name: The name of the user.
        rights: The rights.

    Raises:
        ConfigError: There is no such right.
    """
    known = {tag_right(tag) for tag in connection.execute(select(tags.c.name)).scalars()} | GRANTABLE
    for right in filter(None, rights):
        if right not in known:
            raise ConfigError(f"there is no right {right!r}", hint=f"there are {', '.join(sorted(known))}")
    connection.execute(delete(user_rights).where(user_rights.c.user == name))
    for right in sorted(set(filter(None, rights))):
        connection.execute(insert(user_rights).values(user=name, right=right))


def _check_promoter(fields: Fields, name: str) -> None:
    if fields["role"] == Role.PROMOTER and "tag_" not in fields["further rights"]:
        raise ConfigError(
            f"promoter {name} may not put on any tag yet", hint="name the tags: `--right tag_stage`, once for each"
        )


def _check_not_last_admin(connection: Connection, name: str) -> None:
    others = select(users.c.name).where(users.c.role == Role.ADMIN, users.c.active, users.c.name != name)
    if connection.execute(others).first() is None:
        raise ConfigError(
            f"{name} is the last administrator", hint="make another first: `packrat-server user set NAME --role admin`"
        )
