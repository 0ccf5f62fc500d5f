"""The mirror of an evil server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.evil import Victim, victim


@pytest.fixture
def lured(tmp_path: Path) -> Iterator[Victim]:
    """A mirror of an evil server."""
    with victim(tmp_path) as one:
        yield one
