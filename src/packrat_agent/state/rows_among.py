"""Reads the rows of some of many values, such as paths, a portion at a time."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from packrat_agent.state.database import Database

_PORTION = 500


def read_among(
    db: Database, sql: str, values: Sequence[str], column: str, some: Collection[str] | None
) -> Iterator[tuple[Any, ...]]:
    """Run a query that ends in a condition, for the rows that have one of some values in a column.

    Args:
        db: The state database.
        sql: The query.
        values: Its parameters.
        column: The column, which has text.
        some: The values that are asked for; None for all rows.

    Raises:
        DiskError: The file can't be read.
    """
    if some is None:
        yield from db.rows(sql, values)
        return
    # Paths that were planted need not be UTF-8; SQLite can't hold such a text, so no row has it.
    ordered = sorted(text for text in some if text.isascii() or is_utf8(text))
    for start in range(0, len(ordered), _PORTION):
        portion = ordered[start : start + _PORTION]
        yield from db.rows(f"{sql} AND {column} IN ({', '.join('?' * len(portion))})", (*values, *portion))


def is_utf8(text: str) -> bool:
    """Tell whether a text can be written as UTF-8; a name on disk may have bytes that are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
