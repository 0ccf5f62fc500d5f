"""Defines distribution versions: what packages are built for, such as `precise`, `fedora41` or `opensuse-leap15`.

1. Values that are not given stay as they are. A new one needs a type; the rest follows from its name where possible.
2. Release names are how versions of packages name the release: `fc41` in `1.0-3.fc41`. A package that names a release
   goes to its distribution version only.
3. One that is in use can't be removed, nor get another type.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, exists, func, insert, select, update

from packrat_core.errors import ConfigError
from packrat_core.packages.repository_types import FILE_TYPES
from packrat_core.text import count_of
from packrat_server.admin.checks import check_name, need, shorten
from packrat_server.admin.record_change import APPROVED, Approval, Fields, RecordChange
from packrat_server.admin.submit_change import submit_change
from packrat_server.promotion.release_names import release_names_of
from packrat_server.store.database import writing
from packrat_server.store.reports import note_changed_repo
from packrat_server.store.tables import distro_versions, package_files, repo_distro_versions
from packrat_server.store.text import join_names

NAME_LIMIT = 20
"""Characters of the name of a distribution version, as the API describes it."""
DISTRO_LIMIT = 20
_VERSION_LIMIT = 10
_RELEASE_NAMES_LIMIT = 100
_WORD = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.+-]*")
_NUMBERED = re.compile(r"(?P<distro>[A-Za-z][A-Za-z_-]*?)-?(?P<version>[0-9][0-9.]*)")


@dataclass(frozen=True, slots=True)
class GivenDistro:
    """The values that a command line gives for a distribution version; None where it gives none."""

    name: str
    file_type: str | None = None
    distro: str | None = None
    version: str | None = None
    release_names: str | None = None


def save_distro(engine: Engine, given: GivenDistro, approval: Approval = APPROVED) -> RecordChange:
    """Make a distribution version, or change what is given of the one of that name.

    Args:
        engine: The database.
        given: What is given.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What changed.

    Raises:
        ConfigError: A value is wrong, or missing in a new one; or it is in use and would get another type.
    """
    check_name(given.name, "distribution version", NAME_LIMIT)
    values = _columns(given)
    with writing(engine) as connection:
        before = _read_fields(connection, given.name)
        now = datetime.now(UTC)
        if before is None:
            made = {**_defaults(given), **values, "ordinal": _next_ordinal(connection)}
            connection.execute(insert(distro_versions).values(name=given.name, created=now, updated=now, **made))
        else:
            if given.file_type not in (None, before["type"]):
                _check_unused(connection, given.name, "get another type")
            if values:
                connection.execute(update(distro_versions).where(distro_versions.c.name == given.name).values(values))
        after = _read_fields(connection, given.name) or {}
        if before is not None and after != before:
            connection.execute(update(distro_versions).where(distro_versions.c.name == given.name).values(updated=now))
            for repo in _repos_with(connection, given.name):
                note_changed_repo(connection, repo)
        change = RecordChange(before, after, losses=_find_losses(connection, given.name, before, after))
        submit_change(connection, "Attrib/DistroVersion", given.name, change, approval)
    return change


def remove_distro(engine: Engine, name: str, approval: Approval = APPROVED) -> RecordChange:
    """Remove a distribution version that nothing uses.

    Args:
        engine: The database.
        name: The name of the distribution version.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What was removed.

    Raises:
        ConfigError: There is no such distribution version, or it is in use.
    """
    with writing(engine) as connection:
        need(connection, distro_versions, name, "distribution version")
        _check_unused(connection, name, "be removed")
        change = RecordChange(_read_fields(connection, name), None)
        connection.execute(delete(distro_versions).where(distro_versions.c.name == name))
        submit_change(connection, "Attrib/DistroVersion", name, change, approval)
    return change


def _find_losses(connection: Connection, name: str, before: Fields | None, after: Fields) -> tuple[str, ...]:
    """Say which repositories get another address: the distribution and its version are part of it.

    Args:
        connection: The transaction, after the change.
        name: The distribution version.
        before: Its fields before the change; None where it is new.
        after: Its fields after the change.
    """
    if before is None or all(before[field] == after[field] for field in ("distro", "version")):
        return ()
    has_files = exists().where(package_files.c.distro_version == name)
    if not connection.execute(select(has_files)).scalar():
        return ()
    return tuple(
        f"clients of repository {repo} lose the address of {name}: set them up again after this"
        for repo in _repos_with(connection, name)
    )


def _columns(given: GivenDistro) -> dict[str, str | None]:
    """The columns that are given, checked."""
    if given.file_type is not None and given.file_type not in FILE_TYPES:
        raise ConfigError(
            f"--type: {shorten(given.file_type)} is not a type of package files",
            hint=f"give one of {', '.join(FILE_TYPES)}",
        )
    limits = (("--distro", given.distro, DISTRO_LIMIT), ("--version", given.version, _VERSION_LIMIT))
    for option, text, limit in limits:
        may_be_empty = option == "--version"
        if text is not None and not (text == "" and may_be_empty) and (len(text) > limit or not _WORD.fullmatch(text)):
            raise ConfigError(
                f"{option}: {shorten(text)} can't be stored",
                hint=f"give up to {limit} letters, digits and `_.+-`, such as {'41' if may_be_empty else 'fedora'}",
            )
    columns: dict[str, str | None] = {}
    if given.file_type is not None:
        columns["file_type"] = given.file_type
    if given.distro is not None:
        columns["distro"] = given.distro
    if given.version is not None:
        columns["version"] = given.version or None
    if given.release_names is not None:
        columns["release_names"] = _check_release_names(given.release_names)
    return columns


def _check_release_names(text: str) -> str:
    names = [name.strip() for name in text.split(",") if name.strip()]
    joined = ",".join(dict.fromkeys(names))
    if len(joined) > _RELEASE_NAMES_LIMIT or not all(_WORD.fullmatch(name) for name in names):
        raise ConfigError(
            f"--release-names: {shorten(text)} can't be stored",
            hint=f"give names of letters, digits and `_.+-` with commas between, {_RELEASE_NAMES_LIMIT} characters "
            "at most, such as el9,centos9",
        )
    return joined


def _defaults(given: GivenDistro) -> dict[str, str | None]:
    """The defaults of a new one, from its name: `fedora41` is version 41 of fedora."""
    if given.file_type is None:
        raise ConfigError(
            f"there is no distribution version {given.name!r} yet, and a new one needs --type",
            hint=f"give the type of its package files: {', '.join(FILE_TYPES)}",
        )
    distro, version = _read_name(given.name, given.file_type)
    distro = given.distro or distro
    version = given.version or version
    names = release_names_of(given.file_type, given.name, distro, version or "")
    return {"distro": distro, "version": version, "release_names": ",".join(names)}


def _read_name(name: str, file_type: str) -> tuple[str, str | None]:
    """Tell the distribution and its version from the name of a distribution version."""
    if file_type == "deb":
        # The version is the name of the suite. Debian's releases have names, and Ubuntu's count as Debian's.
        return "debian", name if len(name) <= _VERSION_LIMIT else None
    if file_type != "rpm":
        return "none", None
    numbered = _NUMBERED.fullmatch(name)
    if numbered is None or len(numbered["version"]) > _VERSION_LIMIT:
        return name, None
    return numbered["distro"].lower(), numbered["version"]


def _next_ordinal(connection: Connection) -> int:
    newest = connection.execute(select(func.max(distro_versions.c.ordinal))).scalar()
    return 0 if newest is None else int(newest) + 1


def _repos_with(connection: Connection, name: str) -> list[str]:
    rows = connection.execute(
        select(repo_distro_versions.c.repo)
        .where(repo_distro_versions.c.distro_version == name)
        .order_by(repo_distro_versions.c.repo)
    )
    return list(rows.scalars())


def _check_unused(connection: Connection, name: str, refused: str) -> None:
    """Check that neither files nor repositories use a distribution version; refused: `be removed`."""
    counted = select(func.count()).select_from(package_files).where(package_files.c.distro_version == name)
    uses = []
    if files := connection.execute(counted).scalar_one():
        uses.append(f"{count_of(files, 'file')} of it")
    if repo_names := _repos_with(connection, name):
        uses.append(f"taken by repository {join_names(repo_names)}")
    if uses:
        raise ConfigError(
            f"distribution version {name} is in use, so it can't {refused}: {'; '.join(uses)}",
            hint="take it off these repositories (`repo set --distro`), and delete these files (`file delete`), first",
        )


def _read_fields(connection: Connection, name: str) -> Fields | None:
    row = connection.execute(select(distro_versions).where(distro_versions.c.name == name)).first()
    if row is None:
        return None
    return {
        "type": row.file_type,
        "distro": row.distro,
        "version": row.version or "",
        "release names": row.release_names.replace(",", ", "),
    }
