"""Checks what an administrator gives: names, descriptions, and references to things that must exist.

Each refusal names the field, what was given, and what would do.
"""

import re

from sqlalchemy import Connection, Table, select

from packrat_core.errors import ConfigError
from packrat_core.text import quote
from packrat_server.store.text import NAMES_SHOWN, is_storable, join_names

_DESCRIPTION_LIMIT = 200
_NAME_LIMIT = 40
_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*")


def check_name(name: str, what: str, limit: int = _NAME_LIMIT) -> None:
    """Check the name of a repository, mirror, user, tag or distribution version.

    Args:
        name: The name that is given.
        what: What has it: `repository`.
        limit: Number of characters that it may have.

    Raises:
        ConfigError: It can't be a name.
    """
    if len(name) > limit or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{shorten(name)} can't be a name of a {what}",
            hint=f"give up to {limit} letters, digits, `_`, `-` and `.`, not `-` or `.` as the first",
        )


def read_description(text: str | None, name: str) -> str | None:
    """Check the description of a repository or mirror; an empty one means its name.

    Raises:
        ConfigError: It can't be stored, or no agent would take it.
    """
    if text is None:
        return None
    if len(text) > _DESCRIPTION_LIMIT or not text.isprintable():
        hint = f"it has {len(text)} characters; give up to {_DESCRIPTION_LIMIT}"
        if not is_storable(text):
            hint = "it is not text in UTF-8; check the encoding of the terminal"
        elif not text.isprintable():
            hint = (
                "give one line without tabs, no-break spaces and the like: agents leave a repository out that has them"
            )
        raise ConfigError(f"--description: {shorten(text)} can't be the description of {name}", hint=hint)
    return text or name


def need(connection: Connection, table: Table, name: str, what: str, option: str = "") -> None:
    """Check that a table has an object of that name.

    Args:
        connection: An open transaction.
        table: Where the object should be.
        name: The name of the object.
        what: What the object is called in the message: `repository`.
        option: The option that names it; '' where it is the object that the command is about.

    Raises:
        ConfigError: It has none.
    """
    if not is_storable(name) or connection.execute(select(table.c.name).where(table.c.name == name)).first() is None:
        field = f"{option}: " if option else ""
        raise ConfigError(
            f"{field}there is no {what} {shorten(name)}", hint=f"there are {all_names(connection, table)}"
        )


def all_names(connection: Connection, table: Table) -> str:
    """List the names in a table, for a message."""
    names = connection.execute(select(table.c.name).order_by(table.c.name).limit(NAMES_SHOWN + 1)).scalars().all()
    return join_names(names) or "none yet"


def shorten(given: str) -> str:
    """Write what was given for a message, the beginning of a long text, on one printable line."""
    shown = given if len(given) <= 60 else given[:60] + "…"
    return repr(shown) if shown.isprintable() else quote(shown)
