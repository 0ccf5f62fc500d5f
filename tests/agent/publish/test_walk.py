"""How a walk goes through directories, also while others change them."""

import tracemalloc
from pathlib import Path

import pytest

from packrat_agent.publish import walk as walk_module
from packrat_agent.publish.walk import Directories, walk
from support.deep_directories import plant


def list_paths(root: Path) -> list[str]:
    return [path for items in walk(root, Directories()) for path, _ in items]


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1000])
def test_each_item_comes_once_in_order_however_many_there_are(tmp_path: Path, count: int) -> None:
    names = [f"{number:04}" for number in range(count)]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "0250-directory").mkdir()
    (tmp_path / "0250-directory/inside").touch()
    assert list_paths(tmp_path) == sorted([*names, "0250-directory/inside"])
    assert all(0 < len(items) <= 500 for items in walk(tmp_path, Directories()))


def test_a_link_that_takes_the_place_of_a_directory_meanwhile_is_not_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "www", tmp_path / "elsewhere"
    for directory in (root / "b", elsewhere):
        directory.mkdir(parents=True)
        (directory / "file").touch()
    (root / "a").touch()
    going = walk(root, Directories())
    assert [path for path, _ in next(going)] == ["a"]
    # It was seen to be a directory, and is not open yet.
    (root / "b").rename(root / "c")
    (root / "b").symlink_to(elsewhere)
    assert [path for items in going for path, _ in items] == []
    assert list_paths(root) == ["a", "b", "c/file"]


def test_a_directory_that_is_gone_meanwhile_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").mkdir()
    found = Directories()
    going = walk(tmp_path, found)
    next(going)
    (tmp_path / "b").rmdir()
    assert list(going) == []
    assert found.empty == ["b"]


@pytest.mark.parametrize("depth", [1, 100, 101, 600])
def test_directories_nested_too_deeply_are_reported_and_not_entered(tmp_path: Path, depth: int) -> None:
    """Anybody may plant such a directory: neither the interpreter nor the limit of open files may end the walk."""
    plant(tmp_path / "d", depth - 1)
    tmp_path.joinpath(*"d" * min(depth, 100), "file").touch()
    (tmp_path / "e").touch()
    found = Directories()
    paths = [path for items in walk(tmp_path, found) for path, _ in items]
    assert paths == [f"{'d/' * min(depth, 100)}file", "e"]
    assert found.deep == ([] if depth <= 100 else ["/".join("d" * 101)])
    assert found.empty == []


def test_a_file_cannot_be_walked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        list(walk(tmp_path / "file", Directories()))


def test_a_walk_that_ends_early_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").touch()
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    going = walk(tmp_path, Directories())
    next(going)
    going.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_a_walk_of_a_huge_directory_holds_little_in_memory(tmp_path: Path) -> None:
    count = 4000
    for number in range(count):
        (tmp_path / f"{number:04}").touch()
    tracemalloc.start()
    try:
        assert sum(len(items) for items in walk(tmp_path, Directories())) == count
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 500 * count


def test_a_bounded_number_of_empty_directories_is_listed_the_deepest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk_module, "EACH_LISTED", 2)
    for name in ("a", "b", "c"):
        (tmp_path / "above" / name).mkdir(parents=True)
    found = Directories()
    assert list(walk(tmp_path, found)) == []
    assert found.empty == ["above/a", "above/b"]
    for name in found.empty:
        (tmp_path / name).rmdir()
    found = Directories()
    assert list(walk(tmp_path, found)) == []
    assert found.empty == ["above/c", "above"]
