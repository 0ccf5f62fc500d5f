"""A directory in the way of a file: it is removed where it stands, whatever becomes of the path to it meanwhile."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from packrat_agent.publish.in_the_way import put_in_place
from packrat_core.errors import DiskError

RealRename = Callable[..., None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with a directory in the place of `repo/Index`, and a directory of somebody else with the same name."""
    (tmp_path / "root/repo/Index/below").mkdir(parents=True)
    (tmp_path / "theirs/Index").mkdir(parents=True)
    (tmp_path / "theirs/Index/precious").write_text("of no concern to the agent")
    (tmp_path / "new").write_bytes(b"index")
    return tmp_path / "root"


def _swap(root: Path) -> None:
    (root / "repo").rename(root / "moved")
    (root / "repo").symlink_to(root.parent / "theirs")


def test_a_link_that_takes_the_place_of_the_directory_above_leads_to_no_removal(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename: RealRename = os.rename

    def rename_and_swap(*arguments: object, **more: object) -> None:
        try:
            rename(*arguments, **more)
        except IsADirectoryError:
            # The moment at which the agent knows that something is in the way, and has not removed it yet.
            _swap(root)
            raise

    monkeypatch.setattr(os, "rename", rename_and_swap)
    monkeypatch.setattr(os, "replace", rename_and_swap)
    put_in_place(root.parent / "new", root / "repo/Index", root)
    assert (root.parent / "theirs/Index/precious").read_text() == "of no concern to the agent"
    assert (root / "moved/Index").read_bytes() == b"index"


def test_a_directory_in_the_way_is_searched_for_files_to_leave_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested = root / "repo/Index/below/.packrat-agent"
    nested.mkdir()
    (nested / "mark").write_text("of another mirror")
    opened = os.open

    def open_and_swap(path: str, *arguments: int, **more: int) -> int:
        descriptor = opened(path, *arguments, **more)
        if str(path).endswith("repo") and not (root / "moved").exists():
            _swap(root)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_swap)
    with pytest.raises(DiskError, match="Index/below is left alone"):
        put_in_place(root.parent / "new", root / "repo/Index", root)
    assert (root / "moved/Index/below/.packrat-agent/mark").exists()


def test_a_link_in_the_way_is_not_followed(root: Path) -> None:
    _swap(root)
    with pytest.raises(DiskError, match="can't publish"):
        put_in_place(root.parent / "new", root / "repo/Index", root)
    assert (root.parent / "theirs/Index/precious").exists()
