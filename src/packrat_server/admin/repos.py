"""Makes, changes and removes repositories."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from packrat_core.errors import ConfigError
from packrat_core.packages.repository_types import REPOSITORY_TYPES, TYPE_NAMES
from packrat_core.text import count_of
from packrat_server.admin.checks import all_names, check_name, need, read_description, shorten
from packrat_server.admin.overlaps import find_overlaps_of
from packrat_server.admin.record_change import APPROVED, Approval, Fields, RecordChange
from packrat_server.admin.submit_change import submit_change
from packrat_server.promotion.wanted_files import wanted_files
from packrat_server.store.database import writing
from packrat_server.store.journal import note_repo
from packrat_server.store.membership import repo_distro_names
from packrat_server.store.reports import note_changed_repo
from packrat_server.store.tables import distro_versions, mirror_reports, mirror_repos, repo_distro_versions, repos, tags
from packrat_server.store.text import join_names

_DIRECTORY_LIMIT = 50
_DIRECTORY = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*(/[0-9A-Za-z_][0-9A-Za-z_.-]*){0,3}")


@dataclass(frozen=True, slots=True)
class NewRepo:
    """The values that a command line gives for a repository; None where it gives none.

    In a repository that exists, None stays as it is. In a new one it takes its default; kind, tag and distro_versions
    have none. The default of directory and description is the name, which "" stands for, too.
    """

    name: str
    kind: str | None = None
    tag: str | None = None
    distro_versions: tuple[str, ...] | None = None
    description: str | None = None
    directory: str | None = None
    show_only_latest: bool | None = None


def save_repo(engine: Engine, repo: NewRepo, approval: Approval = APPROVED) -> RecordChange:
    """Make a repository, or change what is given of the one of that name.

    Args:
        engine: The database.
        repo: What is given.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What changed.

    Raises:
        ConfigError: A value is wrong, names something that does not exist, or is missing in a new repository.
    """
    check_name(repo.name, "repository")
    values = _columns(repo)
    with writing(engine) as connection:
        if repo.tag is not None:
            need(connection, tags, repo.tag, "tag", "--tag")
        for name in repo.distro_versions or ():
            need(connection, distro_versions, name, "distribution version", "--distro")
        before = read_repo_fields(connection, repo.name)
        # A repository may have very many files, and a description takes none away.
        may_lose = before is not None and set(values) - {"description"} | set(repo.distro_versions or ())
        offered = wanted_files(connection, repo.name, None) if may_lose else []
        now = datetime.now(UTC)
        if before is None:
            _check_complete(connection, repo)
            defaults = {"description": repo.name, "directory": repo.name, "show_only_latest": True}
            connection.execute(insert(repos).values(name=repo.name, created=now, updated=now, **defaults | values))
        elif values:
            connection.execute(update(repos).where(repos.c.name == repo.name).values(values))
        if repo.distro_versions is not None:
            _replace_distro_versions(connection, repo.name, repo.distro_versions)
        if repo.kind is not None or repo.distro_versions is not None:
            _check_types(connection, repo.name, "--type" if repo.distro_versions is None else "--distro")
        after = read_repo_fields(connection, repo.name) or {}
        # Mirrors read everything of a repository again when they hear of it, so they hear of real changes only.
        if after != before:
            connection.execute(update(repos).where(repos.c.name == repo.name).values(updated=now))
            note_changed_repo(connection, repo.name)
        losses = _find_losses(connection, repo.name, before, after, offered)
        change = RecordChange(before, after, losses=losses)
        submit_change(connection, "Repo/Repo", repo.name, change, approval)
    return change


def remove_repo(engine: Engine, name: str, approval: Approval = APPROVED) -> RecordChange:
    """Remove a repository, also from its mirrors; the package files stay.

    Args:
        engine: The database.
        name: The name of the repository.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What was removed.

    Raises:
        ConfigError: There is no such repository.
    """
    with writing(engine) as connection:
        need(connection, repos, name, "repository")
        before = read_repo_fields(connection, name)
        on = connection.execute(
            select(mirror_repos.c.mirror).where(mirror_repos.c.repo == name).order_by(mirror_repos.c.mirror)
        ).scalars()
        where = ", ".join(on.all()) or "no mirror"
        count = len(wanted_files(connection, name, None))
        change = RecordChange(
            before, None, losses=(f"clients lose repository {name} with {count_of(count, 'file')} (built by {where})",)
        )
        # First, since it goes to the mirrors that have the repository.
        note_repo(connection, name)
        connection.execute(delete(mirror_repos).where(mirror_repos.c.repo == name))
        connection.execute(delete(mirror_reports).where(mirror_reports.c.repo == name))
        connection.execute(delete(repo_distro_versions).where(repo_distro_versions.c.repo == name))
        connection.execute(delete(repos).where(repos.c.name == name))
        submit_change(connection, "Repo/Repo", name, change, approval)
    return change


def _find_losses(
    connection: Connection, name: str, before: Fields | None, after: Fields, offered: Sequence[int]
) -> tuple[str, ...]:
    """Say what clients of a repository lose.

    Args:
        connection: The transaction, after the change.
        name: The name of the repository.
        before: Its fields before the change; None where it is new.
        after: Its fields after the change.
        offered: The ids of the files that it offered before.
    """
    if before is None or before == after:
        return ()
    losses = list(find_overlaps_of(connection, name)) if before["directory"] != after["directory"] else []
    if not offered:
        return tuple(losses)
    if gone := set(offered).difference(wanted_files(connection, name, None)):
        leave = "leaves" if len(gone) == 1 else "leave"
        losses.append(f"{len(gone)} of {count_of(len(offered), 'file')} {leave} repository {name}")
    for field, lost in (("directory", "their address"), ("type", "its format")):
        if before[field] != after[field]:
            losses.append(
                f"clients of repository {name} lose {lost}: set them up again after {before[field]} → {after[field]}"
            )
    return tuple(losses)


def _columns(repo: NewRepo) -> dict[str, Any]:
    """The columns that are given, checked."""
    directory = None if repo.directory is None else repo.directory or repo.name
    if directory is not None and (len(directory) > _DIRECTORY_LIMIT or not _DIRECTORY.fullmatch(directory)):
        raise ConfigError(
            f"--directory: {shorten(directory)} can't be the directory of {repo.name}",
            hint=(
                f"give one to four names of letters, digits, "
                f"`_`, `-` and `.` with `/` between them, {_DIRECTORY_LIMIT} characters at most, such as `debian/dev`"
            ),
        )
    if repo.kind is not None and repo.kind not in TYPE_NAMES:
        raise ConfigError(
            f"--type: {shorten(repo.kind)} is not a type of repository", hint=f"give one of {', '.join(TYPE_NAMES)}"
        )
    given = {
        "description": read_description(repo.description, repo.name),
        "directory": directory,
        "kind": repo.kind,
        "tag": repo.tag,
        "show_only_latest": repo.show_only_latest,
    }
    return {column: value for column, value in given.items() if value is not None}


def _check_complete(connection: Connection, repo: NewRepo) -> None:
    needed = {"--type": repo.kind, "--tag": repo.tag, "--distro": repo.distro_versions}
    missing = [option for option, value in needed.items() if value is None]
    if missing:
        raise ConfigError(
            f"there is no repository {repo.name!r} yet, and a new one needs {', '.join(missing)}",
            hint=f"there are {all_names(connection, repos)}",
        )


def _check_types(connection: Connection, repo: str, option: str) -> None:
    """Check that the distribution versions of a repository have files of its type; one of JSON takes all files.

    Args:
        connection: The transaction, after the change.
        repo: The name of the repository.
        option: The option to name in the message.

    Raises:
        ConfigError: One of them has files of another type, so none of them would ever be in the repository.
    """
    kind = connection.execute(select(repos.c.kind).where(repos.c.name == repo)).scalar_one()
    taken = next(known.file_type for name, known in REPOSITORY_TYPES.items() if kind in (name, *known.other_names))
    rows = connection.execute(select(distro_versions.c.name, distro_versions.c.file_type)).all()
    types = {row.name: row.file_type for row in rows}
    wrong = [f"{name} ({types[name]})" for name in repo_distro_names(connection, repo) if types[name] != taken]
    if taken is not None and wrong:
        fitting = join_names([name for name, file_type in sorted(types.items()) if file_type == taken])
        raise ConfigError(
            f"{option}: a repository of type {kind} takes {taken} files, not those of {join_names(wrong)}",
            hint=f"distribution versions of {taken} are {fitting or 'not there yet'}; `distro set` makes one",
        )


def _replace_distro_versions(connection: Connection, repo: str, names: Sequence[str]) -> None:
    connection.execute(delete(repo_distro_versions).where(repo_distro_versions.c.repo == repo))
    for ordinal, name in enumerate(dict.fromkeys(names)):
        connection.execute(insert(repo_distro_versions).values(repo=repo, distro_version=name, ordinal=ordinal))


def read_repo_fields(connection: Connection, name: str) -> Fields | None:
    """Read a repository as an administrator sees it; None where there is none of that name."""
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
