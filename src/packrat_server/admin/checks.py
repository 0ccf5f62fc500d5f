"""Checks what an administrator gives: names, descriptions, and references to things that must exist."""

import re

from sqlalchemy import Connection, Table, select

from packrat_core.errors import ConfigError
from packrat_server.store.text import is_storable

_DESCRIPTION_LIMIT = 200
_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,39}")


def check_name(name: str) -> None:
    """Check the name of a repository, mirror or user.

    Raises:
        ConfigError: It can't be a name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} can't be a name",
            hint="give one of up to 40 letters, digits, `_`, `-` and `.` that does not begin with `-` or `.`",
        )


def read_description(text: str | None, name: str) -> str | None:
    """Check the description of a repository or mirror; an empty one means its name.

    Raises:
        ConfigError: It can't be stored.
    """
    if text is None:
        return None
    if len(text) > _DESCRIPTION_LIMIT or not is_storable(text):
        raise ConfigError(
            f"the description of {name} can't be stored",
            hint=f"give one of up to {_DESCRIPTION_LIMIT} characters, without NUL",
        )
    return text or name


def need(connection: Connection, table: Table, name: str, what: str) -> None:
    """Check that a table has an object of that name.

    Args:
        connection: An open transaction.
        table: Where the object should be.
        name: The name of the object.
        what: What the object is called in the message: `repository`.

    Raises:
        ConfigError: It has none.
    """
    if connection.execute(select(table.c.name).where(table.c.name == name)).first() is None:
        raise ConfigError(f"there is no {what} {name!r}", hint=f"there are {all_names(connection, table)}")


def all_names(connection: Connection, table: Table) -> str:
    """List the names in a table, for a message."""
    names = connection.execute(select(table.c.name).order_by(table.c.name)).scalars()
    return ", ".join(names) or "none yet"
