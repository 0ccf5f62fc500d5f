"""Notes what this process does by the interpreter's audit events, so that nothing has to be replaced to see it.

Source: Python documentation, "Audit events table".
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LISTENING: list[tuple[str, list[tuple[Any, ...]]]] = []
_IS_ADDED: list[bool] = []


def _note(event: str, values: tuple[Any, ...]) -> None:
    for wanted, noted in _LISTENING:
        if event == wanted:
            noted.append(values)


@contextmanager
def audited(event: str) -> Iterator[list[tuple[Any, ...]]]:
    """Collect the values of each event of a name, such as `open`: path, mode and flags."""
    # A hook can't be taken out again.
    if not _IS_ADDED:
        sys.addaudithook(_note)
        _IS_ADDED.append(True)
    noted: list[tuple[Any, ...]] = []
    _LISTENING.append((event, noted))
    try:
        yield noted
    finally:
        _LISTENING.remove((event, noted))
