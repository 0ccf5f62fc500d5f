"""Finds paths by a pattern, whatever others have planted beside them."""

from collections.abc import Iterator
from glob import iglob
from pathlib import Path


def match_paths(directory: Path, pattern: str) -> Iterator[Path]:
    """Find what a pattern matches below a directory, in any order; nothing where there is no directory.

    Unlike Path.glob it goes on where a link leads to a name that is too long, or to a disk that fails.
    """
    return (directory / path for path in iglob(pattern, root_dir=directory, include_hidden=True))  # noqa: PTH207
