"""What a removal of a directory takes, and what it leaves alone."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_core.errors import DiskError
from packrat_core.fs.links import remove_any, remove_tree


def plant(top: Path, depth: int) -> None:
    """Make directories one in another, deeper than any path can name."""
    top.mkdir()
    inside = os.open(top, os.O_RDONLY)
    for number in range(depth):
        os.close(os.open(f"file{number}", os.O_CREAT | os.O_WRONLY, dir_fd=inside))
        os.mkdir("d", dir_fd=inside)
        deeper = os.open("d", os.O_RDONLY, dir_fd=inside)
        os.close(inside)
        inside = deeper
    os.close(inside)


@pytest.mark.parametrize("depth", [0, 1, 5, 5000])
def test_a_directory_goes_however_deep_it_is(tmp_path: Path, depth: int) -> None:
    plant(tmp_path / "top", depth)
    remove_any(tmp_path / "top")
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), max_size=20))
def test_any_tree_goes(tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]) -> None:
    top = tmp_path_factory.mktemp("trees")
    for path in paths:
        directory = top.joinpath("tree", *path)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "file").touch()
    (top / "tree").mkdir(exist_ok=True)
    remove_tree(top / "tree")
    assert list(top.iterdir()) == []


def test_what_a_link_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").touch()
    (tmp_path / "top/inside").mkdir(parents=True)
    for place in ("top/link", "top/inside/link"):
        (tmp_path / place).symlink_to(tmp_path / "elsewhere")
    remove_tree(tmp_path / "top")
    assert [path.name for path in tmp_path.rglob("*")] == ["elsewhere", "file"]


def test_a_link_itself_is_no_directory_to_remove(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DiskError):
        remove_tree(tmp_path / "link")
    assert (tmp_path / "elsewhere").is_dir()
