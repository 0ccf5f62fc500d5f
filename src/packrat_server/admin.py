"""What an administrator sets up: repositories, mirrors, users.

Takes: an engine and what is wanted.
Gives: generated secrets.
Touches: the database.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, Table, delete, insert, select, update

from packrat_core.errors import ConfigError
from packrat_server.access import Role, hash_secret, new_password
from packrat_server.journal import note_mirror, note_repo
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

KINDS = ("apt", "yum", "yast", "json", "docker", "pypi")
_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,39}")
_DIRECTORY = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*(/[0-9A-Za-z_][0-9A-Za-z_.-]*){0,3}")


@dataclass(frozen=True, slots=True)
class NewRepo:
    """A repository to be made; directory: by default its name."""

    name: str
    kind: str
    tag: str
    distro_versions: tuple[str, ...]
    description: str = ""
    directory: str = ""
    show_only_latest: bool = True


def save_repo(engine: Engine, repo: NewRepo) -> None:
    """Make a repository, or change the one of that name.

    Raises: ConfigError that names what is wrong with it.
    """
    _check_name(repo.name)
    directory = repo.directory or repo.name
    if len(directory) > 50 or not _DIRECTORY.fullmatch(directory):
        raise ConfigError(f"{directory!r} can't be a repository's directory: one to four plain names, `a/b`")
    if repo.kind not in KINDS:
        raise ConfigError(f"{repo.kind!r} is no type of repository; there are {', '.join(KINDS)}")
    with writing(engine) as connection:
        _need(connection, tags, repo.tag, "tag")
        for name in repo.distro_versions:
            _need(connection, distro_versions, name, "distribution version")
        now = datetime.now(UTC)
        values = {
            "description": repo.description or repo.name,
            "directory": directory,
            "kind": repo.kind,
            "tag": repo.tag,
            "show_only_latest": repo.show_only_latest,
            "updated": now,
        }
        if connection.execute(select(repos.c.name).where(repos.c.name == repo.name)).first() is None:
            connection.execute(insert(repos).values(name=repo.name, created=now, **values))
        else:
            connection.execute(update(repos).where(repos.c.name == repo.name).values(values))
        connection.execute(delete(repo_distro_versions).where(repo_distro_versions.c.repo == repo.name))
        for ordinal, name in enumerate(repo.distro_versions):
            connection.execute(
                insert(repo_distro_versions).values(repo=repo.name, distro_version=name, ordinal=ordinal)
            )
        note_repo(connection, repo.name)


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
    engine: Engine, name: str, repo_names: Sequence[str], description: str = "", psk: str | None = None
) -> str | None:
    """Make a mirror, or change the one of that name; gives the psk of a new one, which is stored nowhere.

    psk: by default generated for a new mirror, kept for an old one.
    Raises: ConfigError
    """
    _check_name(name)
    with writing(engine) as connection:
        for repo in repo_names:
            _need(connection, repos, repo, "repository")
        if connection.execute(select(users.c.name).where(users.c.name == name)).first() is not None:
            raise ConfigError(f"{name} is the name of a user; give the mirror another")
        now = datetime.now(UTC)
        new = connection.execute(select(mirrors.c.name).where(mirrors.c.name == name)).first() is None
        secret = psk or (new_password() if new else None)
        hashed = {"psk": hash_secret(secret)} if secret is not None else {}
        values = {"description": description or name, "updated": now, **hashed}
        if new:
            connection.execute(insert(mirrors).values(name=name, created=now, **values))
        else:
            connection.execute(update(mirrors).where(mirrors.c.name == name).values(values))
        if hashed:
            connection.execute(delete(sessions).where(sessions.c.name == name))
        connection.execute(delete(mirror_repos).where(mirror_repos.c.mirror == name))
        for ordinal, repo in enumerate(dict.fromkeys(repo_names)):
            connection.execute(insert(mirror_repos).values(mirror=name, repo=repo, ordinal=ordinal))
        note_mirror(connection, name)
    return secret


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
    """Make a user, or give the one of that name a new role and password; gives the password.

    Raises: ConfigError
    """
    _check_name(name)
    if role not in (Role.MANAGER, Role.ADMIN):
        raise ConfigError(f"{role!r} is no role of a user; there are manager and admin")
    secret = password or new_password()
    with writing(engine) as connection:
        if connection.execute(select(mirrors.c.name).where(mirrors.c.name == name)).first() is not None:
            raise ConfigError(f"{name} is the name of a mirror; give the user another")
        now = datetime.now(UTC)
        values = {"password": hash_secret(secret), "role": role, "active": True, "updated": now}
        if connection.execute(select(users.c.name).where(users.c.name == name)).first() is None:
            connection.execute(insert(users).values(name=name, created=now, **values))
        else:
            connection.execute(update(users).where(users.c.name == name).values(values))
        connection.execute(delete(sessions).where(sessions.c.name == name))
    return secret


def remove_user(engine: Engine, name: str) -> None:
    """Lock a user out: no login, no session; what the user did keeps the name.

    Raises: ConfigError where there is none, or it is the last administrator.
    """
    with writing(engine) as connection:
        _need(connection, users, name, "user")
        others = select(users.c.name).where(users.c.role == Role.ADMIN, users.c.active, users.c.name != name)
        if connection.execute(others).first() is None:
            raise ConfigError(f"{name} is the last administrator; make another first")
        connection.execute(update(users).where(users.c.name == name).values(active=False))
        connection.execute(delete(sessions).where(sessions.c.name == name))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} can't be a name: up to 40 letters, digits, `_`, `-` and `.`")


def _need(connection: Connection, table: Table, name: str, what: str) -> None:
    if connection.execute(select(table.c.name).where(table.c.name == name)).first() is None:
        names = list(connection.execute(select(table.c.name).order_by(table.c.name)).scalars())
        raise ConfigError(f"there is no {what} {name!r}; there are {', '.join(names) or 'none yet'}")
