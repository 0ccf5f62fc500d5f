"""Deletes the oldest deprecated and failed files of each package, as far as there are more than the package keeps.

A deprecated file counts and goes only where no repository of a mirror lists it: Python files stay in the index of their
tag, where clients may have pinned them.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Engine, Select, String, cast, func, select

from packrat_server.promotion.package_files import delete_file
from packrat_server.promotion.rules import MARKING, MARKS, Mark
from packrat_server.store.database import reading, writing
from packrat_server.store.events import Author, Via
from packrat_server.store.membership import FILES_IN_REPOS
from packrat_server.store.tables import events, mirror_repos, package_files, packages, repos


def delete_surplus(engine: Engine) -> int:
    """Delete what each package has too many of; gives the number of deleted records.

    Raises:
        ServerUnavailable: The database can't be reached.
    """
    deleted = 0
    for mark in MARKS:
        with reading(engine) as connection:
            names = _find_packages_with_surplus(connection, mark)
        for name in names:
            # A package in a transaction: uploads and tags of others come between.
            with writing(engine) as connection:
                deleted += _delete_of(connection, name, mark)
    return deleted


def _find_packages_with_surplus(connection: Connection, mark: Mark) -> Sequence[str]:
    """List the packages that may have too many files with a mark."""
    marked = package_files.c[f"{mark}_at"].is_not(None)
    kept = packages.c[f"{mark}_count"]
    query = (
        select(packages.c.name)
        .join(package_files, package_files.c.package == packages.c.name)
        .where(marked)
        .group_by(packages.c.name, kept)
        .having(func.count() > kept)
        .order_by(packages.c.name)
    )
    return connection.execute(query).scalars().all()


def _delete_of(connection: Connection, name: str, mark: Mark) -> int:
    surplus = find_surplus(connection, name, mark)
    if surplus:
        count = connection.execute(select(packages.c[f"{mark}_count"]).where(packages.c.name == name)).scalar()
        author = Author("packrat-server", Via.SERVER, f"{mark}_count is {count}")
        for file_id in surplus:
            delete_file(connection, file_id, author)
    return len(surplus)


def find_surplus(connection: Connection, name: str, mark: Mark) -> Sequence[int]:
    """List the files with a mark that a package has too many of, the oldest first.

    Args:
        connection: An open transaction.
        name: The name of the package.
        mark: The mark.
    """
    count = connection.execute(select(packages.c[f"{mark}_count"]).where(packages.c.name == name)).scalar()
    at = package_files.c[f"{mark}_at"]
    marked = select(package_files.c.id).where(package_files.c.package == name, at.is_not(None))
    if mark == "deprocated":
        marked = marked.where(package_files.c.id.not_in(_listed_python_files()))
    # By its event first: a date is wrong where the clock was. Marks from before there were events are older.
    order = (_marked_by(mark).desc(), at.desc(), package_files.c.id.desc())
    found = connection.execute(marked.order_by(*order)).scalars().all()
    return found[count or 0 :][::-1]


def _marked_by(mark: Mark) -> ColumnElement[int]:
    """The number of the event that put a mark on a file; 0 where there is none."""
    of_file = (events.c.model == "Package/PackageFile") & (events.c.object == cast(package_files.c.id, String))
    newest = select(func.max(events.c.id)).where(of_file, events.c.action == MARKING[mark])
    return func.coalesce(newest.scalar_subquery(), 0)


def _listed_python_files() -> Select[tuple[int]]:
    """The Python files that a repository of a mirror lists, marked as yanked or not."""
    return (
        select(package_files.c.id)
        .select_from(FILES_IN_REPOS.join(mirror_repos, mirror_repos.c.repo == repos.c.name))
        .where(package_files.c.type == "python")
    )
