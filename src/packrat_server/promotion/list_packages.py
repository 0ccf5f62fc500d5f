"""Lists packages for people, with the number of their files by tag and state, as records for JSON."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, case, func, select

from packrat_server.promotion.find_files import in_portions, name_condition
from packrat_server.promotion.questions import Found, Record
from packrat_server.store.tables import package_file_tags, package_files, packages
from packrat_server.store.text import write_moment


def list_packages(connection: Connection, name: str = "", limit: int = 10_000) -> Found:
    """List packages by name.

    Args:
        connection: An open transaction.
        name: The beginning of the name, or a pattern with `*` and `?`; '' for all.
        limit: Number of packages to read.
    """
    query = select(packages).order_by(packages.c.name).limit(limit + 1)
    if name:
        query = query.where(name_condition(packages.c.name, name))
    rows = connection.execute(query).all()
    return Found(_describe(connection, rows[:limit]), len(rows) > limit)


def show_package(connection: Connection, name: str) -> list[Record]:
    """Show the package of a name; nothing where there is none."""
    return _describe(connection, connection.execute(select(packages).where(packages.c.name == name)).all())


def _describe(connection: Connection, rows: Sequence[Any]) -> list[Record]:
    names = [row.name for row in rows]
    counts: dict[str, Any] = {}
    tags: dict[str, dict[str, int]] = {name: {} for name in names}
    for some in in_portions(names):
        counted = (
            select(
                package_files.c.package,
                func.count().label("files"),
                func.sum(case((package_files.c.failed_at.is_not(None), 1), else_=0)).label("failed"),
                func.sum(case((package_files.c.deprocated_at.is_not(None), 1), else_=0)).label("deprocated"),
            )
            .where(package_files.c.package.in_(some))
            .group_by(package_files.c.package)
        )
        counts.update((row.package, row) for row in connection.execute(counted).all())
        tagged = (
            select(package_files.c.package, package_file_tags.c.tag, func.count().label("files"))
            .join(package_file_tags, package_file_tags.c.package_file == package_files.c.id)
            .where(package_files.c.package.in_(some))
            .group_by(package_files.c.package, package_file_tags.c.tag)
            .order_by(package_files.c.package, package_file_tags.c.tag)
        )
        for row in connection.execute(tagged).all():
            tags[row.package][row.tag] = row.files
    return [
        {
            "name": row.name,
            "files": counts[row.name].files if row.name in counts else 0,
            "tags": tags[row.name],
            "failed": int(counts[row.name].failed) if row.name in counts else 0,
            "deprocated": int(counts[row.name].deprocated) if row.name in counts else 0,
            "failed_count": row.failed_count,
            "deprocated_count": row.deprocated_count,
            "created": write_moment(row.created, "seconds"),
            "updated": write_moment(row.updated, "seconds"),
        }
        for row in rows
    ]
