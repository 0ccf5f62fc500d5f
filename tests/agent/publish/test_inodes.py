"""Inode numbers of 64 bits, as mergerfs and some NFS servers have them, are remembered and known again."""

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.publish import scan as scanning
from packrat_agent.publish.walk import walk
from support.remembered import known_files, put_file, remembering, scan_store

LARGE = 1 << 63


def _large(status: os.stat_result) -> os.stat_result:
    more = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
    return os.stat_result((status.st_mode, LARGE + status.st_ino, *status[2:]), more)


def _walk(*given: Any) -> Generator[list[tuple[str, os.stat_result]], None, None]:
    for items in walk(*given):
        yield [(path, _large(status)) for path, status in items]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each inode number have the highest of its 64 bits."""
    monkeypatch.setattr(scanning, "walk", _walk)


@pytest.mark.usefixtures("large")
def test_a_file_of_a_large_inode_number_is_remembered_and_known_again(tmp_path: Path) -> None:
    kept = put_file(tmp_path, "repo/kept", b"kept")
    with remembering([kept]) as store:
        found = scan_store(tmp_path, store)
        assert (found.files, found.damaged, found.read_bytes) == (1, [], 4)
        (tmp_path / "repo/other").write_bytes(b"other")
        time.sleep(0.05)
        # Written down with the number that it has, it is not hashed again.
        scan_store(tmp_path, store)
        before = known_files(store)
        again = scan_store(tmp_path, store)
        assert known_files(store) == before
        (other,) = again.untracked
        store.live.adopt("repo", [(other, other.sha256)], 1.0)
        assert scan_store(tmp_path, store).damaged == []
