"""What a removal of a directory takes, and what it leaves alone."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_core.errors import DiskError
from packrat_core.fs.links import remove_any, remove_tree
from support.deep_directories import plant


@pytest.mark.parametrize("depth", [0, 1, 5, 5000])
def test_a_directory_goes_however_deep_it_is(tmp_path: Path, depth: int) -> None:
    plant(tmp_path / "top", depth, "file")
    remove_any(tmp_path / "top")
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), max_size=20))
def test_any_tree_is_removed_whole(tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]) -> None:
    top = tmp_path_factory.mktemp("trees")
    for path in paths:
        directory = top.joinpath("tree", *path)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "file").touch()
    (top / "tree").mkdir(exist_ok=True)
    remove_tree(top / "tree")
    assert list(top.iterdir()) == []


def test_the_target_of_a_link_stays(tmp_path: Path) -> None:
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a filesystem")
def test_a_directory_of_a_lower_layer_goes(tmp_path: Path) -> None:
    """overlayfs does not move it."""
    for name in ("lower/top/a/b/c", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "lower/top/a/b/c/file").touch()
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    mounted = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, tmp_path / "merged"], check=False)
    if mounted.returncode != 0:
        pytest.skip("no overlayfs here")
    try:
        remove_tree(tmp_path / "merged/top")
        assert list((tmp_path / "merged").iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path / "merged"], check=True)
