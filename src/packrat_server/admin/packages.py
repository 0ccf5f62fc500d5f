"""Changes how many failed and deprecated files of a package are kept.

The others are deleted for good while the server runs (promotion/retention.py), so a lower number is a loss.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, select

from packrat_core.text import count_of
from packrat_server.admin.checks import need
from packrat_server.admin.record_change import APPROVED, Approval, Fields, RecordChange
from packrat_server.admin.submit_change import command_author
from packrat_server.promotion.package_files import update_package
from packrat_server.promotion.retention import find_surplus
from packrat_server.promotion.rules import MARKS, Mark
from packrat_server.store.database import writing
from packrat_server.store.tables import packages


def set_package(engine: Engine, name: str, counts: Mapping[str, int], approval: Approval = APPROVED) -> RecordChange:
    """Change what is given of a package; it is made by its first upload.

    Args:
        engine: The database.
        name: The name of the package.
        counts: What is given of `failed_count` and `deprocated_count`.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What changed.

    Raises:
        ConfigError: There is no such package.
    """
    with writing(engine) as connection:
        need(connection, packages, name, "package")
        row = connection.execute(select(packages).where(packages.c.name == name)).one()
        before = _read_fields(connection, name)
        update_package(connection, row, command_author(approval.reason), counts)
        losses = _find_losses(connection, name, {mark: getattr(row, f"{mark}_count") for mark in MARKS}, counts)
        change = RecordChange(before, _read_fields(connection, name), losses=losses)
        approval.decide(change)
    return change


def _find_losses(
    connection: Connection, name: str, before: Mapping[Mark, int], counts: Mapping[str, int]
) -> tuple[str, ...]:
    """Say which files are deleted because fewer are kept.

    Args:
        connection: The transaction, after the change.
        name: The name of the package.
        before: Mark → how many files with it were kept until now.
        counts: What is given of `failed_count` and `deprocated_count`.
    """
    losses = []
    for mark, kept in before.items():
        given = counts.get(f"{mark}_count", kept)
        if given >= kept:
            continue
        if surplus := len(find_surplus(connection, name, mark)):
            losses.append(f"{count_of(surplus, 'file')} of package {name}, {mark}, will be deleted for good")
        if given == 0:
            losses.append(
                f"each file of package {name} that is {mark} from now on will be deleted for good within two hours"
            )
    return tuple(losses)


def _read_fields(connection: Connection, name: str) -> Fields:
    row = connection.execute(select(packages).where(packages.c.name == name)).one()
    return {"failed files kept": str(row.failed_count), "deprocated files kept": str(row.deprocated_count)}
