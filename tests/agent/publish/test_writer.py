"""publish: content before pointers, pointers in order, each by one rename, links where bytes are the same."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, LiveFile, ReadyPublication, Since, TreeFile, TreeLink, UnsignedTree
from packrat_agent.publish.compared import ComparedFiles
from packrat_agent.publish.directories import OpenDirectories
from packrat_agent.publish.pointers import discard_pointers
from packrat_agent.publish.writer import _Work, discard_staged, intend, publish
from support.remembered import scan_all

REPO = Repo("r", "R", "repo", "apt", ())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / ".packrat-agent" / "staging").mkdir(parents=True)
    return tmp_path / "root"


def go(
    root: Path, tree: UnsignedTree, *packages: LiveFile, pointers: dict[str, list[str]] | None = None
) -> tuple[StoredFile, ...]:
    staging = root / ".packrat-agent" / "staging"
    written = publish(tree, packages, intend(tree, packages, (), pointers or {}), root, staging)
    discard_pointers(root, REPO)
    return written


def tree_of(content: list[TreeFile | TreeLink], pointers: list[TreeFile | TreeLink]) -> UnsignedTree:
    publication = ReadyPublication("s", "id", tuple(content), tuple(pointers), {})
    return UnsignedTree(REPO, (publication,), ("s",))


def index_file(path: str, *parts: bytes) -> TreeFile:
    return TreeFile(path, Content(parts))


def place(root: Path, name: str, content: bytes) -> LiveFile:
    sha256 = hashlib.sha256(content).hexdigest()
    staged = root / ".packrat-agent" / "staging" / sha256
    staged.write_bytes(content)
    return LiveFile(f"repo/pool/{name}", "", sha256, len(content))


def test_everything_stands_where_it_was_intended(root: Path) -> None:
    index = b"index"
    pointers = [index_file("Index", index), index_file("InRelease", b"sig", b"ned")]
    tree = tree_of([index_file("by-hash/1", index)], [*pointers])
    placed = place(root, "x.deb", b"package")
    written = go(root, tree, placed)
    assert (root / "repo/pool/x.deb").read_bytes() == b"package"
    assert (root / "repo/Index").read_bytes() == index
    assert (root / "repo/Index").samefile(root / "repo/by-hash/1")
    assert {file.path for file in written} == {
        "repo/pool/x.deb",
        "repo/by-hash/1",
        "repo/Index",
        "repo/InRelease",
    }
    assert all(file.inode == (root / file.path).stat().st_ino for file in written)
    assert [path.name for path in (root / ".packrat-agent/staging").iterdir()] == [placed.sha256]
    discard_staged([placed], root / ".packrat-agent/staging")
    assert list((root / ".packrat-agent/staging").iterdir()) == []


def test_a_pointer_that_changes_gets_a_later_whole_second_and_one_that_does_not_is_left(root: Path) -> None:
    go(root, tree_of([], [index_file("InRelease", b"one"), index_file("Release", b"same")]))
    ahead = int((root / "repo/InRelease").stat().st_mtime) + 1000
    os.utime(root / "repo/InRelease", (ahead, ahead))
    same = (root / "repo/Release").stat()
    go(root, tree_of([], [index_file("InRelease", b"two"), index_file("Release", b"same")]))
    assert (root / "repo/InRelease").read_bytes() == b"two"
    assert int((root / "repo/InRelease").stat().st_mtime) == ahead + 1
    assert (root / "repo/Release").stat().st_ino == same.st_ino


def test_a_pointer_that_is_no_more_is_removed_and_so_is_that_of_a_lost_section(root: Path) -> None:
    go(root, tree_of([], [index_file("InRelease", b"one"), index_file("Release", b"one")]))
    (root / "repo/old").write_text("old publication")
    go(
        root,
        tree_of([], [index_file("Release", b"two")]),
        pointers={"s": ["repo/InRelease", "repo/Release"], "lost": ["repo/old"]},
    )
    assert sorted(path.name for path in (root / "repo").iterdir()) == ["Release"]


def test_damaged_content_is_written_again_under_its_name(root: Path) -> None:
    tree = tree_of([index_file("by-hash/1", b"right")], [index_file("Index", b"right")])
    go(root, tree)
    (root / "repo/by-hash/1").unlink()
    (root / "repo/by-hash/1").write_bytes(b"wrong")
    go(root, tree)
    assert (root / "repo/by-hash/1").read_bytes() == b"right"


def test_a_link_among_the_content_leads_where_it_should(root: Path) -> None:
    go(root, tree_of([TreeLink("generations/1", "../old")], []))
    go(root, tree_of([TreeLink("generations/1", "../pool")], []))
    assert (root / "repo/generations/1").readlink() == Path("../pool")
    before = (root / "repo/generations/1").lstat().st_ino
    go(root, tree_of([TreeLink("generations/1", "../pool")], []))
    assert (root / "repo/generations/1").lstat().st_ino == before


def test_one_staged_file_may_stand_in_several_places_and_replaces_what_was_there(root: Path) -> None:
    (root / "repo/pool").mkdir(parents=True)
    (root / "repo/pool/b.deb").write_bytes(b"damaged")
    one = place(root, "a.deb", b"package")
    two = replace(one, path="repo/pool/b.deb")
    go(root, tree_of([], []), one, two)
    assert (root / "repo/pool/a.deb").samefile(root / "repo/pool/b.deb")
    assert (root / "repo/pool/b.deb").read_bytes() == b"package"


def test_a_planted_link_is_replaced_not_followed(root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("safe")
    (root / "repo").mkdir()
    (root / "repo/InRelease").symlink_to(victim)
    (root / "repo/pool").symlink_to(tmp_path)
    go(root, tree_of([], [index_file("InRelease", b"new")]), place(root, "x.deb", b"package"))
    assert victim.read_text() == "safe"
    assert not (tmp_path / "x.deb").exists()
    assert not (root / "repo/InRelease").is_symlink()


@pytest.mark.parametrize("stands", [False, True], ids=["just written", "stands there already"])
def test_no_pointer_becomes_a_second_name_of_a_file_elsewhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stands: bool
) -> None:
    theirs = tmp_path / "theirs" / "index"
    theirs.parent.mkdir()
    theirs.write_bytes(b"of no concern to the agent")
    os.utime(theirs, (1, 1))
    tree = tree_of([index_file("by-hash/index", b"new")], [index_file("Index", b"new")])
    if stands:
        go(root, tree)
    # It has an index that is to be replaced, and so a time that the new one must be later than.
    (root / "repo").mkdir(exist_ok=True)
    (root / "repo/Index").write_bytes(b"old")
    link: Callable[..., None] = os.link

    def swap_and_link(source: str | Path, *arguments: str | Path, **more: bool) -> None:
        if str(source).endswith("by-hash/index"):
            # The moment before a pointer with the same bytes becomes a link to the content.
            (root / "repo/by-hash").rename(root / "repo/moved")
            (root / "repo/by-hash").symlink_to(theirs.parent)
        link(source, *arguments, **more)

    monkeypatch.setattr(os, "link", swap_and_link)
    go(root, tree)
    assert (root / "repo/by-hash").is_symlink()
    assert (root / "repo/Index").read_bytes() == b"new"
    assert (theirs.stat().st_nlink, theirs.stat().st_mtime) == (1, 1)


def test_content_behind_a_link_does_not_stand_in_its_place(root: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs" / "index"
    theirs.parent.mkdir()
    theirs.write_bytes(b"new")
    (root / "repo").mkdir()
    (root / "repo/by-hash").symlink_to(theirs.parent)
    go(root, tree_of([index_file("by-hash/index", b"new")], [index_file("Index", b"new")]))
    assert theirs.stat().st_nlink == 1
    assert not (root / "repo/by-hash").is_symlink()
    assert (root / "repo/by-hash/index").samefile(root / "repo/Index")


def test_a_link_is_published_flipped_and_recognized_by_the_scan(root: Path) -> None:
    remembered: dict[str, StoredFile] = {}
    for number in ("1", "2"):
        index = index_file(f"gen/{number}/Index", number.encode())
        tree = tree_of([index], [TreeLink("current", f"gen/{number}")])
        written = go(root, tree)
        assert (root / "repo/current/Index").read_text() == number
        remembered |= {file.path: file for file in written}
    assert scan_all(root, remembered.values()).files == len(remembered)
    (root / "repo/current").unlink()
    (root / "repo/current").symlink_to("/etc")
    assert scan_all(root, remembered.values()).damaged == [remembered["repo/current"]]
    go(root, tree_of([], [TreeLink("current", "gen/2")]))
    assert (root / "repo/current").readlink() == Path("gen/2")


def test_of_a_publication_that_changed_in_part_only_that_part_is_looked_at(root: Path) -> None:
    before = tree_of([index_file("by-hash/1", b"same")], [index_file("Old", b"old"), index_file("Index", b"one")])
    go(root, before)
    (root / "repo/by-hash/1").unlink()
    since = Since("id", (), ("Old",), places=(1,))
    content = (index_file("by-hash/2", b"two"),)
    publication = ReadyPublication("s", "id2", content, (index_file("Index", b"two"),), {}, (), since)
    tree = UnsignedTree(REPO, (publication,), ("s",))
    intent = intend(tree, (), (), {"s": ["repo/Old", "repo/Index"]})
    assert [(file.path, file.pointer_rank) for file in intent.files] == [("repo/by-hash/2", 0), ("repo/Index", 1)]
    # The pointer that is named no more goes at once, also where the others were not looked at.
    assert intent.leaving == ("repo/Old",)
    assert [file.path for file in go(root, tree)] == ["repo/by-hash/2", "repo/Index"]
    assert sorted(path.name for path in (root / "repo").iterdir()) == ["Index", "by-hash"]


@pytest.mark.skipif(
    os.geteuid() != 0 or Path("/proc/sys/fs/protected_hardlinks").read_text() != "1\n",
    reason="needs another user, whose links the kernel refuses",
)
def test_files_are_copied_where_hard_links_are_impossible() -> None:
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        root = Path(directory) / "root"
        (root / ".packrat-agent/staging").mkdir(parents=True)
        for path in (root, root / ".packrat-agent", root / ".packrat-agent/staging"):
            os.chown(path, 65534, -1)
        placed = place(root, "x.deb", b"package")
        os.seteuid(65534)
        try:
            go(root, tree_of([], []), placed)
        finally:
            os.seteuid(0)
        assert (root / "repo/pool/x.deb").read_bytes() == b"package"
        assert not (root / "repo/pool/x.deb").samefile(root / ".packrat-agent/staging" / placed.sha256)


def test_each_directory_above_a_target_is_to_be_flushed(root: Path) -> None:
    with OpenDirectories(root) as way:
        work = _Work(root, root / ".packrat-agent" / "staging", REPO, way, has_many=False, compared=ComparedFiles())
        assert work.target("repo/pool/ab/x.deb") == root / "repo/pool/ab/x.deb"
        assert work.target("repo/pool/cd/") == root / "repo/pool/cd"
        assert work.target("index.html") == root / "index.html"
    above = {root, root / "repo", root / "repo/pool", root / "repo/pool/ab", root / "repo/pool/cd"}
    assert {Path(directory) for directory in work.directories} == above
    assert all(directory.is_dir() for directory in above)
