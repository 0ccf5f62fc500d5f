"""Bundles on the disk: what stands in their way, what a full disk or a kill leaves, and who may read the files."""

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from packrat_agent.sync.fetch.shared_downloads import SharedDownloads
from packrat_core.errors import DiskError
from support.bundle_server import Opened, in_staging, make, run, sha256s
from support.small_disk import small_disk


@pytest.mark.parametrize("ending", ["", ".part"])
def test_nothing_is_written_through_what_somebody_puts_into_the_way(tmp_path: Path, ending: str) -> None:
    placements, server = make(20)
    outside = tmp_path / "outside"
    outside.write_text("mine")
    in_the_way = tmp_path / "staging" / f"{placements[5].file.sha256}{ending}"
    opened = server.open_bundle

    @asynccontextmanager
    async def open_bundle(uris: Sequence[str]) -> AsyncIterator[Opened]:
        async with opened(uris) as bundle:
            in_the_way.symlink_to(outside)
            yield bundle

    server.open_bundle = open_bundle  # type: ignore[method-assign]
    assert set(run(server, tmp_path, placements).staged) == sha256s(placements)
    assert outside.read_text() == "mine"
    # A bundle makes files under their own names alone.
    assert server.alone == ([] if ending else [placements[5].file.uri])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a filesystem")
def test_a_disk_without_room_for_another_file_ends_the_fetch(tmp_path: Path) -> None:
    placements, server = make(50)
    downloads = SharedDownloads(4)
    # One for the root, one for the staging directory, and one for each of three files.
    with small_disk(tmp_path / "disk", "1m", inodes=5) as disk:
        with pytest.raises(DiskError, match="No space left"):
            run(server, disk, placements, downloads=downloads)
        assert len(in_staging(disk)) == 3
    assert not downloads.in_flight


def test_a_disk_that_takes_half_of_a_file_leaves_none_that_is_called_like_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placements, server = make(50)
    real, sizes = os.write, list[int]()

    def write(descriptor: int, data: memoryview) -> int:
        sizes.append(len(data))
        if len(sizes) == 20:
            real(descriptor, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(DiskError, match="No space left"):
        run(server, tmp_path, placements, downloads=SharedDownloads(1))
    assert sizes[-1] > 1
    left = [tmp_path / "staging" / name for name in in_staging(tmp_path)]
    assert len(left) >= 19
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in left)


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placements, server = make(3)
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:2]))
    fetched = run(server, tmp_path, placements)
    assert server.alone == []
    contents = {sha256: hashlib.sha256(path.read_bytes()).hexdigest() for sha256, path in fetched.staged.items()}
    assert contents == {sha256: sha256 for sha256 in sha256s(placements)}
    assert {path.stat().st_mode & 0o777 for path in fetched.staged.values()} == {0o644}


def test_a_file_cut_off_by_a_kill_is_not_taken_for_whole(tmp_path: Path) -> None:
    placements, server = make(20)
    (tmp_path / "staging").mkdir()
    torn = placements[5].file
    (tmp_path / "staging" / torn.sha256).write_bytes(server.files[torn.uri][:-1])
    assert set(run(server, tmp_path, placements).staged) == sha256s(placements)
    assert server.alone == [torn.uri]


def test_a_file_has_its_mode_before_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placements, server = make(20)
    real, modes = os.write, list[int]()

    def write(descriptor: int, data: memoryview) -> int:
        modes.append(os.fstat(descriptor).st_mode & 0o7777)
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    before = os.umask(0o077)
    try:
        staged = run(server, tmp_path, placements).staged
    finally:
        os.umask(before)
    # A kill leaves some whole, and the next sync looks at their bytes alone.
    assert modes == [0o644] * len([sha256 for sha256 in staged if (tmp_path / "staging" / sha256).stat().st_size])
