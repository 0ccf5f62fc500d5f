"""Lists the package files of a repository: by its tag, its distribution versions, and "newest only".

- A repository *wants* the files that have its tag and are neither failed nor deprocated.
- It *keeps* these, and the deprecated ones as long as they have its tag, for mirrors whose clients know such a mark.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Result, Row, Select, bindparam, select

from packrat_server.latest import pick_latest
from packrat_server.store.tables import package_file_tags, package_files, repo_distro_versions, repos

_PARAMETERS_LIMIT = 500
"""Number of package names that one query takes; each is a parameter of the database."""
_ROWS_AT_ONCE = 1000
_RANKED = (
    package_files.c.id,
    package_files.c.package,
    package_files.c.distro_version,
    package_files.c.type,
    package_files.c.arch,
    package_files.c.epoch,
    package_files.c.version,
    package_files.c.deprocated_at,
)
"""The columns that tell which files are offered; others hold long texts."""
# By their places: a column that is looked up by its name takes several times as long.
_ID, _PACKAGE = 0, 1


def wanted_files(connection: Connection, repo: str, names: Sequence[str] | None) -> Sequence[int]:
    """List the files that a repository wants.

    Args:
        connection: An open transaction.
        repo: The name of the repository.
        names: Only the files of these packages; None or empty for all.

    Returns:
        The ids of the files, in the order they were made.
    """
    row = _read_repo(connection, repo)
    if not row.show_only_latest and (names is None or len(names) <= _PARAMETERS_LIMIT):
        # No file makes way for another, so nothing but their ids has to be read.
        query = _narrow(names, deprocated_too=False).with_only_columns(package_files.c.id)
        return _collect(_run(connection, query, row).scalars())
    return _collect(
        file[_ID]
        for files in _read_packages(connection, row, names, deprocated_too=False)
        for file in _offer(row, files)
    )


def kept_files(
    connection: Connection, repo: str, names: Sequence[str] | None, *, only_deprocated: bool = False
) -> Sequence[int]:
    """List the files that a repository keeps.

    With "newest only", a deprecated file makes way for a newer version as if it were not deprecated, but no other file
    makes way for it.

    Args:
        connection: An open transaction.
        repo: The name of the repository.
        names: Only the files of these packages; None or empty for all.
        only_deprocated: Leave out those that it wants.

    Returns:
        The ids of the files, in the order they were made.
    """
    row = _read_repo(connection, repo)

    def keep(files: Sequence[Row[Any]]) -> set[int]:
        kept = {file.id for file in _offer(row, files) if file.deprocated_at is not None}
        if not only_deprocated:
            kept.update(file.id for file in _offer(row, [file for file in files if file.deprocated_at is None]))
        return kept

    return _collect(
        number for files in _read_packages(connection, row, names, deprocated_too=True) for number in keep(files)
    )


def listed_files(connection: Connection, repo: str, names: Sequence[str]) -> Sequence[int]:
    """List the files that clients of a repository see: those of Python stay there, marked as yanked, when deprecated.

    Args:
        connection: An open transaction.
        repo: The name of the repository.
        names: The packages.
    """
    list_them = kept_files if _read_repo(connection, repo).kind == "pypi" else wanted_files
    return list_them(connection, repo, names)


def _collect(numbers: Iterable[int]) -> Sequence[int]:
    """Sort ids, which may be very many, in little memory."""
    return array("q", sorted(array("q", numbers)))


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """The ids of the files of some packages: those that a repository wants, and the deprecated ones that it keeps."""

    wanted: Sequence[int]
    deprocated: Sequence[int]


def split_files(connection: Connection, repo: str, names: Sequence[str], limit: int) -> SplitFiles | None:
    """List the files of a few packages as `wanted_files` and `kept_files` do, with two queries.

    Args:
        connection: An open transaction.
        repo: The name of the repository.
        names: The names of the packages, as many as one query can take.
        limit: The largest number of files that are looked at.

    Returns:
        The files; None where there are more, or the repository is gone.
    """
    row = connection.execute(_REPO, {"repo": repo}).first()
    if row is None:
        return None
    given = {"tag": row.tag, "repo": repo, "packages": names, "count": limit + 1}
    files = connection.execute(_OFFERED_OF_PACKAGES, given).all()
    if len(files) > limit:
        return None
    wanted = [file.id for file in _offer(row, [file for file in files if file.deprocated_at is None])]
    deprocated = [file.id for file in _offer(row, files) if file.deprocated_at is not None]
    return SplitFiles(sorted(wanted), sorted(deprocated))


def split_touched(connection: Connection, repo: str, names: Sequence[str], numbers: Sequence[int]) -> SplitFiles | None:
    """List those of some files that a repository wants or keeps.

    Args:
        connection: An open transaction.
        repo: The name of the repository.
        names: The names of their packages; a file of another one is left out.
        numbers: The ids of the files, as many as one query can take.

    Returns:
        The files; None where the repository is gone, or a file that changes there may change what others are.
    """
    row = connection.execute(_REPO, {"repo": repo}).first()
    if row is None or row.show_only_latest:
        return None
    given = {"tag": row.tag, "repo": repo, "packages": names, "numbers": numbers}
    files = connection.execute(_OFFERED_OF_FILES, given).all()
    wanted = [file.id for file in files if file.deprocated_at is None]
    deprocated = [file.id for file in files if file.deprocated_at is not None]
    return SplitFiles(sorted(wanted), sorted(deprocated))


def _read_repo(connection: Connection, repo: str) -> Row[Any]:
    return connection.execute(_REPO, {"repo": repo}).one()


def _read_packages(
    connection: Connection, repo: Row[Any], names: Sequence[str] | None, *, deprocated_too: bool
) -> Iterator[Sequence[Row[Any]]]:
    """Read the files of one package after the other, since a repository may have very many.

    Yields:
        The files of a package, in the order they were made. Take all: an open cursor would keep the old view of an
        SQLite database on this connection.
    """
    query = _narrow(names, deprocated_too=deprocated_too).order_by(package_files.c.package, package_files.c.id)
    # A database takes a limited number of parameters, so a long list is filtered here.
    packages = set(names) if names and len(names) > _PARAMETERS_LIMIT else None
    for package, files in groupby(_run(connection, query, repo), key=itemgetter(_PACKAGE)):
        listed = list(files)
        if packages is None or package in packages:
            yield listed


def _narrow(names: Sequence[str] | None, *, deprocated_too: bool) -> Select[Any]:
    """Build the query for the files that a repository offers, of the named packages where they are not too many."""
    query = _offered_files()
    if not deprocated_too:
        query = query.where(package_files.c.deprocated_at.is_(None))
    if names and len(names) <= _PARAMETERS_LIMIT:
        query = query.where(package_files.c.package.in_(names))
    return query


def _run(connection: Connection, query: Select[Any], repo: Row[Any]) -> Result[Any]:
    given = {"tag": repo.tag, "repo": repo.name}
    return connection.execute(query, given, execution_options={"yield_per": _ROWS_AT_ONCE})


def _offered_files() -> Select[Any]:
    """Build the query for the files that a repository offers; its parameters are `tag` and `repo`."""
    return (
        select(*_RANKED)
        .join(package_file_tags, package_file_tags.c.package_file == package_files.c.id)
        .join(repo_distro_versions, repo_distro_versions.c.distro_version == package_files.c.distro_version)
        .where(
            package_file_tags.c.tag == bindparam("tag"),
            repo_distro_versions.c.repo == bindparam("repo"),
            package_files.c.failed_at.is_(None),
        )
    )


# Built once: they are run for every change.
_REPO = select(repos).where(repos.c.name == bindparam("repo"))
_OFFERED_OF_PACKAGES = (
    _offered_files()
    .where(package_files.c.package.in_(bindparam("packages", expanding=True)))
    .order_by(package_files.c.id)
    .limit(bindparam("count"))
)
_OFFERED_OF_FILES = _offered_files().where(
    package_files.c.id.in_(bindparam("numbers", expanding=True)),
    package_files.c.package.in_(bindparam("packages", expanding=True)),
)


def _offer(repo: Row[Any], files: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """Choose those of the files that the repository offers if it has no others."""
    if len(files) == 1 or not repo.show_only_latest:
        return files
    # Files of other architectures or distribution versions are never versions of each other.
    return pick_latest(
        files,
        lambda file: (file.package, file.distro_version, file.type, file.arch),
        lambda file: (file.type, f"{file.epoch}:{file.version}" if file.epoch else file.version),
    )
