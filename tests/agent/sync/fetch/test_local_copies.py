"""LocalCopies: files are made in staging one at a time, by however many threads."""

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from packrat_agent.model.entries import Placement, Plan
from packrat_agent.sync.fetch.local_copies import LocalCopies
from support.bundle_server import REPO, placement

THREADS = 4
FILES = 25


class Counted:
    """A system call, and how many threads were in it at once."""

    def __init__(self, call: Callable[..., Any], counts: Callable[..., bool]) -> None:
        self.most = 0
        self._call = call
        self._counts = counts
        self._inside = 0
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if not self._counts(*arguments):
            return self._call(*arguments, **options)
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        # The others run now, if they may.
        for _ in range(100):
            os.sched_yield()
        try:
            return self._call(*arguments, **options)
        finally:
            with self._lock:
                self._inside -= 1


def stage(tmp_path: Path, placements: list[Placement], held: dict[str, bytes], sources: dict[str, str]) -> None:
    """Stage the files by several threads, each its own."""
    staging = tmp_path / "staging"
    staging.mkdir()
    plan = Plan(REPO, (), tuple(placements), (), (), (), {}, {}, sources, held)

    def work(first: int) -> int:
        with LocalCopies(plan, staging, tmp_path) as copies:
            return len(copies.stage(placements[first::THREADS])[0])

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(work, range(THREADS))) == len(placements)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("is_staged", [False, True])
def test_a_copy_larger_than_any_package_file_is_not_read(tmp_path: Path, is_staged: bool) -> None:
    """A sparse file of 15 TiB takes no room on the disk, and days to hash."""
    staging, wanted = tmp_path / "staging", placement("1", b"one")
    staging.mkdir()
    sources = {} if is_staged else {wanted.file.sha256: "copy"}
    copy = staging / wanted.file.sha256 if is_staged else tmp_path / "copy"
    plan = Plan(REPO, (), (wanted,), (), (), (), {}, {}, sources, {})
    for content, size, found in ((b"one", 3, True), (b"", 15 << 40, False)):
        copy.write_bytes(content)
        os.truncate(copy, size)
        with LocalCopies(plan, staging, tmp_path, 3) as copies:
            assert copies.stage([wanted]) == ({wanted.file.uri: {wanted.file.sha256: ANY}} if found else {}, 1)
        if not is_staged:
            (staging / wanted.file.sha256).unlink(missing_ok=True)
    assert not (staging / wanted.file.sha256).exists()


def test_one_file_at_a_time_is_linked_into_staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(os.link, lambda *_: True)
    placements = [placement(f"{number}", b"%d" % number) for number in range(THREADS * FILES)]
    for wanted in placements:
        (tmp_path / wanted.file.file_name).write_text(wanted.file.file_name)
    monkeypatch.setattr(os, "link", counted)
    stage(tmp_path, placements, {}, {wanted.file.sha256: wanted.file.file_name for wanted in placements})
    assert counted.most == 1


def test_one_file_at_a_time_is_written_into_staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(os.open, lambda _, flags, *__: bool(flags & os.O_CREAT))
    contents = [b"%d" % number for number in range(THREADS * FILES)]
    placements = [placement(f"{number}", content) for number, content in enumerate(contents)]
    monkeypatch.setattr(os, "open", counted)
    stage(tmp_path, placements, {hashlib.sha256(content).hexdigest(): content for content in contents}, {})
    assert counted.most == 1
