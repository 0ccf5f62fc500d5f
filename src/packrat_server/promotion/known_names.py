"""Checks that the names in a question exist, so that a misspelled name does not look like one without files.

Usage:

    check_known(connection, {"tag": "prod", "distroversion": "", "package": "hello"})
"""

from collections.abc import Mapping

from sqlalchemy import Column, Connection, select

from packrat_server.promotion.questions import NoSuchName
from packrat_server.store.tables import distro_versions, packages, repos, tags
from packrat_server.store.text import NAMES_SHOWN, is_storable, join_names

_THINGS: Mapping[str, tuple[str, Column[str]]] = {
    "tag": ("tag", tags.c.name),
    "distroversion": ("distribution version", distro_versions.c.name),
    "package": ("package", packages.c.name),
}
"""Argument → what it names, and where that is."""


def check_known(connection: Connection, given: Mapping[str, str]) -> None:
    """Check that what arguments name exists; '' names nothing.

    Raises:
        NoSuchName: It does not.
    """
    for field, name in given.items():
        what, column = _THINGS[field]
        if name and not _has(connection, column, name):
            raise NoSuchName(field, f"no {what}", name, _names(connection, column))


def is_tag(connection: Connection, field: str, name: str) -> bool:
    """Tell whether a name is that of a tag, or of a repository.

    Args:
        connection: An open transaction.
        field: The argument that gives the name.
        name: The name.

    Returns:
        True for a tag, even if a repository has the same name; False for a repository.

    Raises:
        NoSuchName: It is neither.
    """
    if _has(connection, tags.c.name, name):
        return True
    if not _has(connection, repos.c.name, name):
        there_are = f"{_names(connection, tags.c.name)}; {_names(connection, repos.c.name) or 'no repositories'}"
        raise NoSuchName(field, "neither a tag nor a repository", name, there_are)
    return False


def _has(connection: Connection, column: Column[str], name: str) -> bool:
    return is_storable(name) and connection.execute(select(column).where(column == name)).first() is not None


def _names(connection: Connection, column: Column[str]) -> str:
    return join_names(connection.execute(select(column).order_by(column).limit(NAMES_SHOWN + 1)).scalars().all())
