"""A state database without room: the message says where room is needed, and the state stays as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.state.database import connect
from packrat_core.errors import DiskError
from support.small_disk import resize, small_disk


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A directory on a filesystem that is too small for a state database."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        yield disk


def test_the_message_says_where_room_is_needed(small: Path) -> None:
    with pytest.raises(DiskError) as refused:
        connect(small / "state.db")
    assert refused.value.message == f"can't open the state database {small}/state.db: its disk is full"
    assert "temporary files" in refused.value.hint
    resize(small, "16m")
    connect(small / "state.db").close()
