"""A state database without room: the message says where room is needed, and the state stays as it was."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.state.database import connect
from packrat_core.errors import DiskError


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A directory on a filesystem that is too small for a state database."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "test", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_message_says_where_room_is_needed(small: Path) -> None:
    with pytest.raises(DiskError) as refused:
        connect(small / "state.db")
    assert refused.value.message == f"can't open the state database {small}/state.db: its disk is full"
    assert "temporary files" in refused.value.hint
    subprocess.run(["mount", "-o", "remount,size=16m", small], check=True)
    connect(small / "state.db").close()
