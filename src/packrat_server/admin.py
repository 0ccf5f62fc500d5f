"""What an administrator sets up: repositories, mirrors, users.

Takes: an engine and what is wanted: only what is said changes.
Gives: Saved: what changed, generated secrets.
Touches: the database.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, delete, insert, select, update

from packrat_core.errors import ConfigError
from packrat_core.repository_types import REPOSITORY_TYPES
from packrat_server.access import Role, hash_secret, new_password
from packrat_server.catalog import mirror_repo_names, repo_distro_names
from packrat_server.journal import note_mirror, note_repo
from packrat_server.saved import Fields, Saved
from packrat_server.store.database import writing
from packrat_server.store.tables import (
    distro_versions,
    mirror_repos,
    mirrors,
    repo_distro_versions,
    repos,
    sessions,
    tags,
    users,
)
from packrat_server.store.text import is_storable

KINDS = tuple(name for kind, known in REPOSITORY_TYPES.items() for name in (kind, *known.other_names))
_DESCRIPTION_LIMIT = 200
_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,39}")
_DIRECTORY = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*(/[0-9A-Za-z_][0-9A-Za-z_.-]*){0,3}")


@dataclass(frozen=True, slots=True)
class NewRepo:
    """What is said of a repository. What is None stays as it is; in a new one it has its default.

    kind, tag and distro_versions have none. Directory and description are by default the name, which "" says, too.
    """

    name: str
    kind: str | None = None
    tag: str | None = None
    distro_versions: tuple[str, ...] | None = None
    description: str | None = None
    directory: str | None = None
    show_only_latest: bool | None = None


def save_repo(engine: Engine, repo: NewRepo) -> Saved:
    """Make a repository, or change what is said of the one of that name.

    Raises: ConfigError that names what is wrong with it.
    """
    _check_name(repo.name)
    values = _repo_values(repo)
    with writing(engine) as connection:
        if repo.tag is not None:
            _need(connection, tags, repo.tag, "tag")
        for name in repo.distro_versions or ():
            _need(connection, distro_versions, name, "distribution version")
        before = _repo_fields(connection, repo.name)
        now = datetime.now(UTC)
        if before is None:
            _check_complete(connection, repo)
            defaults = {"description": repo.name, "directory": repo.name, "show_only_latest": True}
            connection.execute(insert(repos).values(name=repo.name, created=now, updated=now, **defaults | values))
        elif values:
            connection.execute(update(repos).where(repos.c.name == repo.name).values(values))
        if repo.distro_versions is not None:
            _put_distro_versions(connection, repo.name, repo.distro_versions)
        after = _repo_fields(connection, repo.name) or {}
        if after != before:
            connection.execute(update(repos).where(repos.c.name == repo.name).values(updated=now))
            note_repo(connection, repo.name)
    return Saved(before, after)


def _repo_values(repo: NewRepo) -> dict[str, Any]:
    """The columns that are said."""
    directory = None if repo.directory is None else repo.directory or repo.name
    if directory is not None and (len(directory) > 50 or not _DIRECTORY.fullmatch(directory)):
        raise ConfigError(f"{directory!r} can't be a repository's directory: one to four plain names, `a/b`")
    if repo.kind is not None and repo.kind not in KINDS:
        raise ConfigError(f"{repo.kind!r} is no type of repository; there are {', '.join(KINDS)}")
    said = {
        "description": _description(repo.description, repo.name),
        "directory": directory,
        "kind": repo.kind,
        "tag": repo.tag,
        "show_only_latest": repo.show_only_latest,
    }
    return {column: value for column, value in said.items() if value is not None}


def _check_complete(connection: Connection, repo: NewRepo) -> None:
    needed = {"--type": repo.kind, "--tag": repo.tag, "--distro": repo.distro_versions}
    missing = [option for option, value in needed.items() if value is None]
    if missing:
        raise ConfigError(
            f"there is no repository {repo.name!r} yet, and a new one needs {', '.join(missing)}; "
            f"there are {_all_names(connection, repos)}"
        )


def _put_distro_versions(connection: Connection, repo: str, names: Sequence[str]) -> None:
    connection.execute(delete(repo_distro_versions).where(repo_distro_versions.c.repo == repo))
    for ordinal, name in enumerate(dict.fromkeys(names)):
        connection.execute(insert(repo_distro_versions).values(repo=repo, distro_version=name, ordinal=ordinal))


def _repo_fields(connection: Connection, name: str) -> Fields | None:
    row = connection.execute(select(repos).where(repos.c.name == name)).first()
    if row is None:
        return None
    return {
        "type": row.kind,
        "tag": row.tag,
        "distribution versions": ", ".join(repo_distro_names(connection, name)),
        "directory": row.directory,
        "description": row.description,
        "versions": "newest only" if row.show_only_latest else "all",
    }


def remove_repo(engine: Engine, name: str) -> None:
    """Remove a repository, from its mirrors too; the package files stay.

    Raises: ConfigError where there is none.
    """
    with writing(engine) as connection:
        _need(connection, repos, name, "repository")
        note_repo(connection, name)
        connection.execute(delete(mirror_repos).where(mirror_repos.c.repo == name))
        connection.execute(delete(repo_distro_versions).where(repo_distro_versions.c.repo == name))
        connection.execute(delete(repos).where(repos.c.name == name))


def save_mirror(
    engine: Engine, name: str, repo_names: Sequence[str], description: str | None = None, psk: str | None = None
) -> str | None:
    """Make or change a mirror; gives the psk of a new one."""
    return set_mirror(engine, name, repo_names, description, psk).secret


def set_mirror(
    engine: Engine,
    name: str,
    repo_names: Sequence[str] | None = None,
    description: str | None = None,
    psk: str | None = None,
) -> Saved:
    """Make a mirror, or change what is said of the one of that name.

    Args:
        engine: of the database.
        name: of the mirror.
        repo_names: all its repositories, in their order; None: those that it has. A new one needs them.
        description: None: the one that it has; its name where it is new, or where this is empty.
        psk: None: the one that it has; a generated one where it is new.

    Raises: ConfigError
    """
    _check_name(name)
    said = _description(description, name)
    with writing(engine) as connection:
        for repo in repo_names or ():
            _need(connection, repos, repo, "repository")
        if connection.execute(select(users.c.name).where(users.c.name == name)).first() is not None:
            raise ConfigError(f"{name} is the name of a user; give the mirror another")
        before = _mirror_fields(connection, name)
        secret = psk or (new_password() if before is None else None)
        values: dict[str, Any] = {} if secret is None else {"psk": hash_secret(secret)}
        now = datetime.now(UTC)
        if before is None:
            if repo_names is None:
                there = _all_names(connection, mirrors)
                raise ConfigError(f"there is no mirror {name!r} yet, and a new one needs --repo; there are {there}")
            made = {"description": said or name, "created": now, "updated": now, **values}
            connection.execute(insert(mirrors).values(name=name, **made))
        else:
            values |= {} if said is None else {"description": said}
            if values:
                connection.execute(update(mirrors).where(mirrors.c.name == name).values(values))
        if secret is not None:
            connection.execute(delete(sessions).where(sessions.c.name == name))
        if repo_names is not None:
            _put_repos(connection, name, repo_names)
        after = _mirror_fields(connection, name) or {}
        if after != before:
            connection.execute(update(mirrors).where(mirrors.c.name == name).values(updated=now))
            note_mirror(connection, name)
    return _with_secret(Saved(before, after, secret), "psk")


def _put_repos(connection: Connection, mirror: str, names: Sequence[str]) -> None:
    connection.execute(delete(mirror_repos).where(mirror_repos.c.mirror == mirror))
    for ordinal, repo in enumerate(dict.fromkeys(names)):
        connection.execute(insert(mirror_repos).values(mirror=mirror, repo=repo, ordinal=ordinal))


def _mirror_fields(connection: Connection, name: str) -> Fields | None:
    row = connection.execute(select(mirrors).where(mirrors.c.name == name)).first()
    if row is None:
        return None
    return {"repositories": ", ".join(mirror_repo_names(connection, name)), "description": row.description}


def _with_secret(saved: Saved, what: str) -> Saved:
    """Tell a secret's change, too, which no field shows."""
    if saved.before is None or saved.secret is None:
        return saved
    return Saved({**saved.before, what: "the old one"}, {**saved.after, what: "a new one"}, saved.secret)


def remove_mirror(engine: Engine, name: str) -> None:
    """Remove a mirror; its sessions end.

    Raises: ConfigError where there is none.
    """
    with writing(engine) as connection:
        _need(connection, mirrors, name, "mirror")
        connection.execute(delete(mirror_repos).where(mirror_repos.c.mirror == name))
        connection.execute(delete(sessions).where(sessions.c.name == name))
        connection.execute(delete(mirrors).where(mirrors.c.name == name))


def save_user(engine: Engine, name: str, role: Role, password: str | None = None) -> str:
    """Make a user, or give the one of that name this role and a new password; gives the password."""
    secret = password or new_password()
    set_user(engine, name, role, secret)
    return secret


def set_user(engine: Engine, name: str, role: Role | None = None, password: str | None = None) -> Saved:
    """Make a user, or change what is said of the one of that name.

    Who was locked out becomes a user again as if new. Sessions end where anything changes.

    Args:
        engine: of the database.
        name: of the user.
        role: None: the one that the user has; manager for a new one.
        password: None: the one that the user has; a generated one for a new one.

    Raises: ConfigError
    """
    _check_name(name)
    if role not in (None, Role.MANAGER, Role.ADMIN):
        raise ConfigError(f"{role!r} is no role of a user; there are manager and admin")
    with writing(engine) as connection:
        if connection.execute(select(mirrors.c.name).where(mirrors.c.name == name)).first() is not None:
            raise ConfigError(f"{name} is the name of a mirror; give the user another")
        row = connection.execute(select(users).where(users.c.name == name)).first()
        known = row is not None and row.active
        before = None if row is None else _user_fields(row)
        if known and role == Role.MANAGER:
            _check_not_last_admin(connection, name)
        secret = password or (None if known else new_password())
        now = datetime.now(UTC)
        values: dict[str, Any] = {} if known else {"role": Role.MANAGER, "active": True}
        values |= {} if role is None else {"role": role}
        values |= {} if secret is None else {"password": hash_secret(secret)}
        if row is None:
            connection.execute(insert(users).values(name=name, created=now, updated=now, **values))
        elif values:
            connection.execute(update(users).where(users.c.name == name).values(values))
        after = _user_fields(connection.execute(select(users).where(users.c.name == name)).one())
        if after != before or secret is not None:
            connection.execute(update(users).where(users.c.name == name).values(updated=now))
            connection.execute(delete(sessions).where(sessions.c.name == name))
    return _with_secret(Saved(before, after, secret), "password")


def _user_fields(row: Row[Any]) -> Fields:
    return {"role": row.role, "state": "active" if row.active else "locked out"}


def remove_user(engine: Engine, name: str) -> None:
    """Lock a user out: no login, no session; what the user did keeps the name.

    Raises: ConfigError where there is none, or it is the last administrator.
    """
    with writing(engine) as connection:
        _need(connection, users, name, "user")
        _check_not_last_admin(connection, name)
        connection.execute(update(users).where(users.c.name == name).values(active=False))
        connection.execute(delete(sessions).where(sessions.c.name == name))


def _check_not_last_admin(connection: Connection, name: str) -> None:
    others = select(users.c.name).where(users.c.role == Role.ADMIN, users.c.active, users.c.name != name)
    if connection.execute(others).first() is None:
        raise ConfigError(f"{name} is the last administrator; make another first")


def _description(text: str | None, name: str) -> str | None:
    if text is not None and (len(text) > _DESCRIPTION_LIMIT or not is_storable(text)):
        raise ConfigError(f"the description of {name} can't be stored: it may have up to {_DESCRIPTION_LIMIT} letters")
    return None if text is None else text or name


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} can't be a name: up to 40 letters, digits, `_`, `-` and `.`")


def _need(connection: Connection, table: Table, name: str, what: str) -> None:
    if connection.execute(select(table.c.name).where(table.c.name == name)).first() is None:
        raise ConfigError(f"there is no {what} {name!r}; there are {_all_names(connection, table)}")


def _all_names(connection: Connection, table: Table) -> str:
    names = connection.execute(select(table.c.name).order_by(table.c.name)).scalars()
    return ", ".join(names) or "none yet"
