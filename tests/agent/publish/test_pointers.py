"""Pointers stand ready beside the tree until each is renamed; what is missing or forged is found before that."""

import hashlib
import os
from pathlib import Path

import pytest

from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, Intent, ReadyPublication, TreeFile, TreeLink, UnsignedTree
from packrat_agent.publish.pointers import (
    PUBLISHING_DIR,
    are_pointers_ready,
    discard_unknown_pointers,
    find_lacking,
    show_pointers,
    staged_name,
    staging_pointers,
)
from packrat_agent.publish.writer import intend

REPO = Repo("r", "R", "repo", "apt", ())
CONTENT = TreeFile("by-hash/1", Content.of(b"index"))
POINTERS = (TreeFile("Index", Content.of(b"index")), TreeFile("InRelease", Content.of(b"signed")), TreeLink("at", "by"))


@pytest.fixture
def intent() -> Intent:
    publication = ReadyPublication("s", "id", (CONTENT,), POINTERS, {})
    return intend(UnsignedTree(REPO, (publication,), ("s",)), (), (), {"s": ["repo/Old"], "gone": ["repo/gone/Index"]})


@pytest.fixture
def root(tmp_path: Path, intent: Intent) -> Path:
    """A tree after a crash: the content in its place, the new pointers ready, one of them renamed."""
    for path in ("Old", "gone/Index", "by-hash/1"):
        (tmp_path / "repo" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repo" / path).write_bytes(b"index")
    with staging_pointers(tmp_path, REPO) as directory:
        (directory / staged_name("repo/InRelease")).write_bytes(b"signed")
        (directory / staged_name("repo/at")).symlink_to("by")
        assert not are_pointers_ready(tmp_path, REPO)
    (tmp_path / "repo/Index").write_bytes(b"index")
    assert intent.leaving == ("repo/Old", "repo/gone/Index")
    return tmp_path


def test_ready_pointers_are_renamed_into_place(root: Path, intent: Intent) -> None:
    assert are_pointers_ready(root, REPO)
    assert find_lacking(intent, root) is None
    written = show_pointers(intent, root)
    assert (root / "repo/InRelease").read_bytes() == b"signed"
    assert str((root / "repo/at").readlink()) == "by"
    assert not (root / "repo/Old").exists()
    assert not (root / "repo/gone/Index").exists()
    assert [file.path for file in written] == ["repo/by-hash/1", "repo/Index", "repo/InRelease", "repo/at"]
    # The same again finds nothing to do.
    assert find_lacking(intent, root) is None
    assert show_pointers(intent, root) == written


@pytest.mark.parametrize(
    "path",
    [
        "repo/by-hash/1",
        "repo/Index",
        f"{PUBLISHING_DIR}/repo-r/{staged_name('repo/InRelease')}",
        f"{PUBLISHING_DIR}/repo-r/{staged_name('repo/at')}",
    ],
)
@pytest.mark.parametrize("forged", [True, False])
def test_missing_or_forged_files_are_found_before_any_pointer_is_replaced(
    root: Path, intent: Intent, path: str, forged: bool
) -> None:
    (root / path).unlink()
    if forged:
        (root / path).write_bytes(b"forged!")
    assert find_lacking(intent, root) is not None
    assert not (root / "repo/InRelease").exists()


@pytest.mark.timeout(30)
def test_a_ready_pointer_without_an_end_is_not_read_to_it(root: Path, intent: Intent) -> None:
    os.truncate(root / PUBLISHING_DIR / "repo-r" / staged_name("repo/InRelease"), 15 << 40)
    assert find_lacking(intent, root) is not None


def test_a_link_in_the_place_of_a_pointer_is_not_followed(root: Path, intent: Intent) -> None:
    secret = root / "secret"
    secret.write_bytes(b"signed")
    staged = root / PUBLISHING_DIR / "repo-r" / staged_name("repo/InRelease")
    staged.unlink()
    staged.symlink_to(secret)
    assert find_lacking(intent, root) == "repo/InRelease"


def test_a_failure_leaves_nothing_and_what_nobody_knows_is_removed(root: Path) -> None:
    with pytest.raises(OSError, match="full"), staging_pointers(root, Repo("other", "", "", "apt", ())) as directory:
        (directory / hashlib.sha256(b"").hexdigest()).write_bytes(b"half")
        raise OSError("full")
    assert [path.name for path in (root / PUBLISHING_DIR).iterdir()] == ["repo-r"]
    discard_unknown_pointers(root, [REPO])
    assert are_pointers_ready(root, REPO)
    discard_unknown_pointers(root, [])
    assert list((root / PUBLISHING_DIR).iterdir()) == []


@pytest.mark.parametrize("kind", ["new", "repo"])
def test_pointers_of_a_killed_publication_are_not_taken_for_the_next(tmp_path: Path, kind: str) -> None:
    left = tmp_path / PUBLISHING_DIR / f"{kind}-r"
    left.mkdir(parents=True)
    (left / staged_name("repo/Stale")).write_bytes(b"stale")
    with staging_pointers(tmp_path, REPO) as directory:
        (directory / staged_name("repo/Index")).write_bytes(b"index")
    ready = tmp_path / PUBLISHING_DIR / "repo-r"
    assert [path.name for path in ready.iterdir()] == [staged_name("repo/Index")]
    assert [path.name for path in ready.parent.iterdir()] == ["repo-r"]


def test_a_directory_in_the_place_of_a_pointer_gives_way_to_it(root: Path, intent: Intent) -> None:
    (root / "repo/InRelease/below").mkdir(parents=True)
    show_pointers(intent, root)
    assert (root / "repo/InRelease").read_bytes() == b"signed"


def test_a_pointer_that_is_a_second_name_of_what_stands_there_does_not_stay_behind(root: Path, intent: Intent) -> None:
    staged = root / PUBLISHING_DIR / "repo-r" / staged_name("repo/InRelease")
    (root / "repo/InRelease").hardlink_to(staged)
    show_pointers(intent, root)
    assert (root / "repo/InRelease").read_bytes() == b"signed"
    assert not list(staged.parent.iterdir())


def test_a_pointer_that_is_not_ready_is_in_its_place_already(root: Path, intent: Intent) -> None:
    written = show_pointers(intent, root)
    (root / PUBLISHING_DIR / "repo-r").rmdir()
    assert show_pointers(intent, root) == written


def test_a_directory_in_the_place_of_a_pointer_that_leaves_stops_nothing(root: Path, intent: Intent) -> None:
    (root / "repo/Old").unlink()
    (root / "repo/Old/below").mkdir(parents=True)
    show_pointers(intent, root)
    assert (root / "repo/InRelease").read_bytes() == b"signed"
    assert not (root / "gone/Index").exists()
