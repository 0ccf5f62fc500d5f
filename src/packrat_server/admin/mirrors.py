"""Makes, changes and removes mirrors."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from packrat_core.errors import ConfigError
from packrat_core.text import count_of
from packrat_server.accounts.passwords import hash_secret, new_password
from packrat_server.admin.checks import all_names, check_name, need, read_description
from packrat_server.admin.overlaps import find_overlaps
from packrat_server.admin.record_change import APPROVED, Approval, Fields, RecordChange, with_secret
from packrat_server.admin.submit_change import submit_change
from packrat_server.promotion.wanted_files import wanted_files
from packrat_server.store.database import writing
from packrat_server.store.journal import note_mirror
from packrat_server.store.membership import mirror_repo_names
from packrat_server.store.reports import expect_reports, forget_reports
from packrat_server.store.tables import mirror_repos, mirrors, repos, sessions, users


def save_mirror(
    engine: Engine, name: str, repo_names: Sequence[str], description: str | None = None, psk: str | None = None
) -> str | None:
    """Make or change a mirror as `set_mirror` does; gives the psk where it is new.

    Args:
        engine: The database.
        name: The name of the mirror.
        repo_names: All of its repositories.
        description: What it is for; None leaves that as it is.
        psk: Its psk; None makes one for a new mirror.
    """
    return set_mirror(engine, name, repo_names, description, psk).secret


def set_mirror(
    engine: Engine,
    name: str,
    repo_names: Sequence[str] | None = None,
    description: str | None = None,
    psk: str | None = None,
    approval: Approval = APPROVED,
) -> RecordChange:
    """Make a mirror, or change what is given of the one of that name.

    Args:
        engine: The database.
        name: The name of the mirror.
        repo_names: All its repositories, in their order; None keeps those that it has. A new mirror needs them.
        description: None keeps the one that it has; a new mirror gets its name. An empty one means the name, too.
        psk: None keeps the one that it has; a new mirror gets a generated one.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What changed, with the psk where that is new.

    Raises:
        ConfigError: A value is wrong, names something that does not exist, or is missing in a new mirror.
    """
    check_name(name, "mirror")
    checked_description = read_description(description, name)
    with writing(engine) as connection:
        _check_names(connection, name, repo_names or ())
        before = read_mirror_fields(connection, name)
        had = mirror_repo_names(connection, name)
        if before is None and repo_names is None:
            raise _incomplete(connection, name)
        refused = () if psk is None else _find_refused(connection, name)
        secret = psk or (new_password() if before is None else None)
        _write(connection, name, _columns(secret, checked_description), is_new=before is None)
        if repo_names is not None:
            _replace_repos(connection, name, repo_names)
        after = read_mirror_fields(connection, name) or {}
        # A new psk alone is not a change that the mirror must hear of.
        if after != before:
            _note(connection, name, added=set(repo_names or ()).difference(had))
        losses = () if repo_names is None else _find_losses(connection, name, had, repo_names)
        change = with_secret(RecordChange(before, after, secret, (*refused, *losses)), "psk")
        submit_change(connection, "Repo/Mirror", name, change, approval)
    return change


def remove_mirror(engine: Engine, name: str, approval: Approval = APPROVED) -> RecordChange:
    """Remove a mirror and end its sessions.

    Args:
        engine: The database.
        name: The name of the mirror.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What was removed.

    Raises:
        ConfigError: There is no such mirror.
    """
    with writing(engine) as connection:
        need(connection, mirrors, name, "mirror")
        before = read_mirror_fields(connection, name)
        lost = f"clients of mirror {name} get no update any more: its psk ends, and its agent is refused"
        connection.execute(delete(mirror_repos).where(mirror_repos.c.mirror == name))
        forget_reports(connection, name)
        connection.execute(delete(sessions).where(sessions.c.name == name))
        connection.execute(delete(mirrors).where(mirrors.c.name == name))
        change = RecordChange(before, None, losses=(lost,))
        submit_change(connection, "Repo/Mirror", name, change, approval)
    return change


def _incomplete(connection: Connection, name: str) -> ConfigError:
    there = all_names(connection, mirrors)
    return ConfigError(f"there is no mirror {name!r} yet, and a new one needs --repo", hint=f"there are {there}")


def _note(connection: Connection, name: str, added: Iterable[str]) -> None:
    """Note that a mirror changed, and let no earlier report count of the repositories that it got."""
    connection.execute(update(mirrors).where(mirrors.c.name == name).values(updated=datetime.now(UTC)))
    note_mirror(connection, name)
    for repo in added:
        expect_reports(connection, repo, [name])


def _find_losses(connection: Connection, mirror: str, had: Sequence[str], repo_names: Sequence[str]) -> tuple[str, ...]:
    """Say what clients of a mirror lose by other repositories; one without files costs them nothing.

    Args:
        connection: The transaction, after the change.
        mirror: The name of the mirror.
        had: Its repositories before the change.
        repo_names: Its repositories after the change.
    """
    counts = {repo: len(wanted_files(connection, repo, None)) for repo in sorted(set(had).difference(repo_names))}
    lost = [
        f"clients of mirror {mirror} lose repository {repo} with {count_of(count, 'file')}"
        for repo, count in counts.items()
        if count
    ]
    return (*lost, *find_overlaps(connection, mirror, set(repo_names).difference(had)))


def _columns(secret: str | None, description: str | None) -> dict[str, Any]:
    """Return the values to write to a mirror's row; None leaves a column as it is."""
    values = {} if secret is None else {"psk": hash_secret(secret)}
    return values | ({} if description is None else {"description": description})


def _find_refused(connection: Connection, name: str) -> tuple[str, ...]:
    """Say that a new psk shuts an agent out, where one has used the old one as far as is known."""
    heard = select(mirrors.c.last_heartbeat).where(mirrors.c.name == name)
    session = select(sessions.c.name).where(sessions.c.name == name).limit(1)
    if connection.execute(heard).scalar() is None and connection.execute(session).scalar() is None:
        return ()
    return (f"the agent of mirror {name} is refused until the new psk is in its mirror.conf",)


def _check_names(connection: Connection, name: str, repo_names: Sequence[str]) -> None:
    for repo in repo_names:
        need(connection, repos, repo, "repository", "--repo")
    # A login names either a user or a mirror.
    if connection.execute(select(users.c.name).where(users.c.name == name)).first() is not None:
        raise ConfigError(f"{name} is the name of a user", hint="give the mirror another")


def _write(connection: Connection, name: str, values: dict[str, Any], *, is_new: bool) -> None:
    """Write the columns that change; a new psk ends the sessions of the old one."""
    if is_new:
        now = datetime.now(UTC)
        made = {"description": name, "created": now, "updated": now} | values
        connection.execute(insert(mirrors).values(name=name, **made))
    elif values:
        connection.execute(update(mirrors).where(mirrors.c.name == name).values(values))
    if "psk" in values:
        connection.execute(delete(sessions).where(sessions.c.name == name))


def _replace_repos(connection: Connection, mirror: str, names: Sequence[str]) -> None:
    connection.execute(delete(mirror_repos).where(mirror_repos.c.mirror == mirror))
    forget_reports(connection, mirror, names)
    for ordinal, repo in enumerate(dict.fromkeys(names)):
        connection.execute(insert(mirror_repos).values(mirror=mirror, repo=repo, ordinal=ordinal))


def read_mirror_fields(connection: Connection, name: str) -> Fields | None:
    """Read a mirror as an administrator sees it; None where there is none of that name."""
    row = connection.execute(select(mirrors).where(mirrors.c.name == name)).first()
    if row is None:
        return None
    return {"repositories": ", ".join(mirror_repo_names(connection, name)), "description": row.description}
