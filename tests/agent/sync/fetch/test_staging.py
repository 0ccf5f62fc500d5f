"""Staging: each sync has a directory of its own; what is still wanted, or in use, stays when staging is cleared."""

from pathlib import Path

import pytest

from packrat_agent.state.store import Store
from packrat_agent.sync.fetch.staging import clear_staging, find_left_over, give_back_parts, own_staging
from packrat_core.errors import DiskError
from support.small_disk import small_disk

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def fill(directory: Path, *names: str) -> None:
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).write_text("x")


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("place", [".", "full-apt-dev", "change-apt-dev"])
def test_staged_files_that_are_still_wanted_stay(tmp_path: Path, place: str) -> None:
    fill(tmp_path / place, A, f"{B}.part", C, "pointer-1")
    clear_staging(tmp_path, {A, B}, lambda repo: False)
    assert names(tmp_path / place) == [A, f"{B}.part"]


def test_the_directories_of_a_sync_that_is_under_way_are_left_alone(tmp_path: Path) -> None:
    for lane in ("full", "change"):
        fill(tmp_path / f"{lane}-apt-dev", C)
        fill(tmp_path / f"{lane}-yum-dev", C)
    clear_staging(tmp_path, set(), lambda repo: repo == "apt-dev")
    assert names(tmp_path) == [f"change-apt-dev/{C}", f"full-apt-dev/{C}"]
    assert not (tmp_path / "full-yum-dev").exists()


def test_the_directory_of_a_sync_goes_unless_something_is_in_it(tmp_path: Path) -> None:
    with own_staging(tmp_path, "apt-dev", full=True) as one, own_staging(tmp_path, "apt-dev", full=False) as two:
        assert one != two
        fill(two, f"{A}.part")
    assert names(tmp_path) == [f"change-apt-dev/{A}.part"]
    assert not one.exists()


def test_only_downloads_count_as_left_over(tmp_path: Path) -> None:
    fill(tmp_path, A, "writing")
    fill(tmp_path / "full-apt-dev", f"{B}.part", "signing-x.rpm")
    (tmp_path / "full-apt-dev" / C).symlink_to(tmp_path / A)
    assert find_left_over(tmp_path) == {A: tmp_path / A, f"{B}.part": tmp_path / "full-apt-dev" / f"{B}.part"}


def test_a_full_disk_gets_back_the_room_of_downloads_that_are_not_complete(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        staging = disk / ".packrat-agent/staging"
        for repo in ("apt-dev", "yum-dev"):
            (staging / f"full-{repo}").mkdir(parents=True)
            fill(staging / f"full-{repo}", A, f"{B}.part")
        give_back_parts(staging)
        assert len(names(staging)) == 4
        with pytest.raises(OSError, match="No space left"):
            (staging / f"full-apt-dev/{C}.part").write_bytes(bytes(2 << 20))
        give_back_parts(staging, lambda repo: repo == "yum-dev")
        assert names(staging) == [f"full-apt-dev/{A}", f"full-yum-dev/{A}", f"full-yum-dev/{B}.part"]


def test_a_full_disk_gets_back_the_room_of_indexes_that_were_being_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        staging = disk / ".packrat-agent/staging"
        (staging / "full-apt-dev").mkdir(parents=True)
        fill(staging / "full-apt-dev", A, "writing")
        with pytest.raises(OSError, match="No space left"):
            (staging / f"full-apt-dev/ahead-{B}").write_bytes(bytes(2 << 20))
        # As an agent that was killed then, and is started again.
        with pytest.raises(DiskError, match="full"):
            Store(disk / "state.db")
        give_back_parts(staging)
        Store(disk / "state.db").close()
        assert names(staging) == [f"full-apt-dev/{A}"]
