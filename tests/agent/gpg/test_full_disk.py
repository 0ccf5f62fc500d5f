"""A key that is made on a full disk: gpg says that no agent runs, so the message names the disk."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.gpg.new_key import make_key
from packrat_core.errors import DiskError
from support.small_disk import small_disk


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A directory on a filesystem that is full."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        with pytest.raises(OSError, match="No space left"):
            (disk / "filling").write_bytes(bytes(1 << 20))
        yield disk


def test_key_new_names_the_disk_that_is_full(full: Path) -> None:
    with pytest.raises(DiskError) as refused:
        make_key(full / "gnupg", None, "Full", "rsa3072", "2y")
    assert f"in gnupg_home {full}/gnupg: " in refused.value.message
    assert refused.value.message.endswith("its disk is full")
    assert refused.value.hint == "free space there"


def test_the_demo_names_the_disk_that_is_full(full: Path) -> None:
    command = [sys.executable, "-m", "packrat_agent.cli", "demo", "--once", "--directory", str(full / "demo")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 7, ended.stderr
    # Whichever is written first: the key, or the server's database.
    assert f"{full}/demo/" in ended.stderr
    assert "disk is full; " in ended.stderr
