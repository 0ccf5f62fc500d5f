"""Changes how many failed and deprocated files of a package are kept."""

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, select

from packrat_server.admin.author import command_author
from packrat_server.admin.checks import need
from packrat_server.admin.record_change import Decide, Fields, RecordChange, agree
from packrat_server.promotion.package_files import update_package
from packrat_server.store.database import writing
from packrat_server.store.tables import packages


def set_package(engine: Engine, name: str, counts: Mapping[str, int], decide: Decide = agree) -> RecordChange:
    """Change what is given of a package; it is made by its first upload.

    Args:
        engine: The database.
        name: The name of the package.
        counts: What is given of `failed_count` and `deprocated_count`.
        decide: Lets the change be committed, or raises.

    Returns:
        What changed.

    Raises:
        ConfigError: There is no such package.
    """
    with writing(engine) as connection:
        need(connection, packages, name, "package")
        row = connection.execute(select(packages).where(packages.c.name == name)).one()
        before = _read_fields(connection, name)
        update_package(connection, row, command_author(), counts)
        change = RecordChange(before, _read_fields(connection, name))
        decide(change)
    return change


def _read_fields(connection: Connection, name: str) -> Fields:
    row = connection.execute(select(packages).where(packages.c.name == name)).one()
    return {"failed files kept": str(row.failed_count), "deprocated files kept": str(row.deprocated_count)}
