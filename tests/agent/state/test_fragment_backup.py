"""Fragment backups: one comes back whole and sealed, or not at all, and leads nowhere else."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from packrat_agent.model.entries import Fragment, Product
from packrat_agent.model.records import PackageFile, Repo, Wanted
from packrat_agent.state.fragment_backup import MADE_DIR, keep, recall, tidy, write_missing
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.store import Store
from packrat_core.errors import DiskError

SHA, OTHER = "a" * 64, "b" * 64
YUM = FragmentSource("yum", 1, "F" * 40)
SIGNED = Fragment(b"\0body\xff", "hello", "1.0-1", "x86_64", (Product("", "c" * 64, 12),), size=7)
BLOBS = (Product("blobs/sha256:" + "d" * 64, "d" * 64, 0), Product("a", "e" * 64, 1))
IMAGE = Fragment(b"", "web", "1", "all", BLOBS, size=9)


def a_file(sha256: str = SHA) -> PackageFile:
    return PackageFile(f"/f/{sha256[:4]}", "hello", "rhel9", "1.0-1", "rpm", "x86_64", "/files/x.rpm", "x.rpm", sha256)


@dataclass(slots=True)
class Tree:
    """root_dir and the state database of a repository that wants two package files; and one that lost them."""

    root: Path
    store: Store
    lost: Store

    def want(self, *sha256s: str) -> None:
        files = tuple(map(a_file, sha256s))
        self.store.wanted.remember_wanted("yum-dev", Wanted(frozenset(f.uri for f in files), files, ()), None)

    def keep(self, fragment: Fragment = SIGNED, *sha256s: str, source: FragmentSource = YUM) -> None:
        read = dict.fromkeys(sha256s or (SHA,), fragment)
        self.store.fragments.save(source, read)
        keep(self.root, source, self.store.fragments, read)

    def sealed(self, source: FragmentSource) -> Mapping[str, str]:
        return {sha256: digest for sha256, digest in self.store.fragments.backups([source])[source].items() if digest}

    def tidy(self, *, removes: bool = True) -> None:
        for source, missing in tidy(self.root, self.store.fragments, [YUM], removes=removes).items():
            write_missing(self.root, source, self.store.fragments, missing)

    def recalled(self, source: FragmentSource = YUM) -> Fragment | None:
        return recall(self.root, source, self.lost.fragments, [SHA], self.sealed).get(SHA)

    def place(self, source: FragmentSource = YUM, sha256: str = SHA) -> Path:
        return self.root / MADE_DIR / source.label / f"{sha256}.json"

    def backups(self) -> list[str]:
        return sorted(str(p.relative_to(self.root / MADE_DIR)) for p in self.root.rglob("*") if p.is_file())


@contextmanager
def a_tree(directory: Path) -> Iterator[Tree]:
    (directory / "root").mkdir()
    tree = Tree(directory / "root", Store(directory / "state.db"), Store(directory / "lost.db"))
    tree.store.repos.save([Repo("yum-dev", "", "yum-dev", "yum", ())])
    tree.want(SHA, OTHER)
    try:
        yield tree
    finally:
        tree.store.close()
        tree.lost.close()


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    with a_tree(tmp_path) as made:
        yield made


@pytest.mark.parametrize("fragment", [SIGNED, IMAGE])
def test_a_backup_gives_back_its_fragment(tree: Tree, fragment: Fragment) -> None:
    tree.keep(fragment)
    assert tree.recalled() == fragment
    assert [path.name for path in tree.place().parent.iterdir()] == [f"{SHA}.json"]
    assert recall(tree.root, YUM, tree.lost.fragments, [OTHER], tree.sealed) == {}


def test_a_fresh_fragment_of_another_repository_needs_no_seal(tree: Tree) -> None:
    tree.keep(SIGNED)
    alter(tree.place(), lambda record: record.update(name="forged"))
    with capture_logs() as logged:
        assert recall(tree.root, YUM, tree.store.fragments, [SHA, OTHER], lambda source: {}) == {SHA: SIGNED}
    assert "fragment-backup" not in str(logged)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=20), st.integers(0, 2**60))
def test_any_body_and_any_text_comes_back(body: bytes, text: str, size: int) -> None:
    with tempfile.TemporaryDirectory() as directory, a_tree(Path(directory)) as tree:
        fragment = Fragment(body, text, text, text, (Product("", "c" * 64, size),), size=size)
        tree.keep(fragment)
        assert tree.recalled() == fragment


@pytest.mark.parametrize("source", [replace(YUM, signer=""), replace(YUM, version=2), replace(YUM, kind="docker")])
def test_a_backup_belongs_to_one_format_version_and_key(tree: Tree, source: FragmentSource) -> None:
    tree.keep(SIGNED)
    assert tree.recalled(source) is None
    # Neither where somebody puts it there.
    tree.place(source).parent.mkdir()
    tree.place(source).write_bytes(tree.place().read_bytes())
    assert tree.recalled(source) is None
    tree.keep(IMAGE, source=source)
    assert tree.recalled(source) == IMAGE


@pytest.mark.parametrize("products", [(), (Product(".metadata", "c" * 64, 1, beside=True),)])
def test_files_published_as_they_are_need_no_backup(tree: Tree, products: tuple[Product, ...]) -> None:
    tree.keep(replace(SIGNED, products=products))
    tree.tidy()
    assert not (tree.root / MADE_DIR).exists()


def test_nothing_is_written_twice(tree: Tree) -> None:
    tree.keep(SIGNED)
    before = tree.place().stat()
    tree.keep(SIGNED)
    # Without the time of the last access, which reading changes.
    after = tree.place().stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)
    assert tree.recalled() == SIGNED


def test_a_planted_file_in_place_of_a_backup_is_replaced(tree: Tree, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("safe")
    for plant in ("file", "link", "spare"):
        path = tree.place() if plant != "spare" else tree.place().with_suffix(".new")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if plant == "file":
            path.write_text("{}")
        else:
            path.symlink_to(victim)
        tree.keep(SIGNED)
        assert tree.recalled() == SIGNED
        assert victim.read_text() == "safe"


def test_only_backups_that_are_still_wanted_stay(tree: Tree) -> None:
    tree.keep(SIGNED, SHA, OTHER)
    tree.keep(SIGNED, SHA, OTHER, source=replace(YUM, signer=""))
    tree.place().with_suffix(".new").write_text("{")
    (tree.place().parent / "directory").mkdir()
    tree.want(SHA)
    tree.tidy(removes=False)
    assert len(tree.backups()) == 5
    tree.tidy()
    assert tree.recalled() == SIGNED
    assert tree.backups() == [f"{YUM.label}/{SHA}.json"]
    (tree.root / "nowhere").mkdir()
    assert tidy(tree.root / "nowhere", tree.store.fragments, [], removes=True) == {}


def test_missing_backups_are_written_again_from_the_state_database(tree: Tree) -> None:
    tree.keep(SIGNED, SHA, OTHER)
    tree.place().unlink()
    tree.tidy()
    assert tree.recalled() == SIGNED
    assert len(tree.backups()) == 2


def test_backups_of_earlier_versions_are_taken_if_the_state_database_says_the_same(
    tree: Tree,
) -> None:
    tree.keep(SIGNED, SHA, OTHER)
    before = tree.place().stat()
    forged = tree.place(sha256=OTHER)
    alter(forged, lambda record: record.update(name="forged"))
    # An earlier version has not noted them.
    tree.store.fragments.note_backups(YUM, {SHA: None, OTHER: None})
    assert tree.recalled() is None
    with capture_logs() as logged:
        tree.tidy()
    said = str(logged)
    assert f"{OTHER}.json" in said
    assert f"{SHA}.json" not in said
    assert "does not agree" in said
    after = tree.place().stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert json.loads(forged.read_text())["name"] == "hello"
    assert set(tree.sealed(YUM)) == {SHA, OTHER}


@pytest.mark.parametrize("swapped", ["made", "source"])
def test_nothing_is_removed_behind_a_link(tree: Tree, tmp_path: Path, swapped: str) -> None:
    tree.keep(SIGNED)
    made = tree.root / MADE_DIR
    victim = tmp_path / "victim"
    (victim / "below").mkdir(parents=True)
    (victim / "file").write_text("safe")
    (victim / "below" / "file").write_text("safe")
    swap = made if swapped == "made" else made / YUM.label
    swap.rename(tmp_path / "aside")
    swap.symlink_to(victim)
    tree.tidy()
    assert (victim / "below" / "file").read_text() == (victim / "file").read_text() == "safe"
    assert not list(victim.rglob("*.json"))
    assert tree.recalled() == SIGNED


def test_a_directory_that_cannot_be_read_is_reported(tree: Tree) -> None:
    tree.keep(SIGNED)
    made = tree.root / MADE_DIR
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    made.chmod(0)
    try:
        with pytest.raises(DiskError, match="can't read"):
            tree.tidy()
    finally:
        made.chmod(0o755)


def alter(path: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Change a backup as somebody would who knows how it is made; gives its SHA-256."""
    record = json.loads(path.read_text())
    change(record)
    record.pop("checksum", None)
    checksum = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    data = json.dumps({**record, "checksum": checksum}).encode() + b"\n"
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["products"].append(["../x", "c" * 64, 1, False]),
        lambda r: r["products"].append(["/etc/x", "c" * 64, 1, False]),
        lambda r: r["products"].append(["a//b", "c" * 64, 1, False]),
        lambda r: r["products"].append(["a/./b", "c" * 64, 1, False]),
        lambda r: r["products"].append(["a\0b", "c" * 64, 1, False]),
        lambda r: r["products"].append(["/../x", "c" * 64, 1, True]),
        lambda r: r["products"].append(["", "c" * 64, 1, True]),
        lambda r: r["products"].append([1, "c" * 64, 1, False]),
        lambda r: r["products"].append(["a", "c" * 63, 1, False]),
        lambda r: r["products"].append(["a", "c" * 64, -1, False]),
        lambda r: r["products"].append(["a", "c" * 64, "1", False]),
        lambda r: r["products"].append(["a", "c" * 64, 1, 0]),
        lambda r: r["products"].append(["a", "c" * 64]),
        lambda r: r.update(products=5),
        lambda r: r.update(size=None),
        lambda r: r.update(name=["hello"]),
        lambda r: r.update(body="!"),
        lambda r: r.update(sha256=OTHER),
        lambda r: r.pop("arch"),
    ],
)
def test_a_sealed_backup_in_another_spelling_is_ignored(tree: Tree, change: Callable[[dict[str, Any]], object]) -> None:
    tree.keep(SIGNED)
    assert alter(tree.place(), lambda record: None) == tree.sealed(YUM)[SHA]
    assert tree.recalled() == SIGNED
    sealed = {SHA: alter(tree.place(), change)}
    assert recall(tree.root, YUM, tree.lost.fragments, [SHA], lambda source: sealed) == {}


def test_a_changed_backup_is_not_believed_though_its_checksum_is_right(tree: Tree) -> None:
    tree.keep(SIGNED)
    alter(tree.place(), lambda record: record.update(name="hellp"))
    assert tree.recalled() is None


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.integers(0, 300)))
def test_torn_files_and_nonsense_are_ignored(data: bytes | int) -> None:
    with tempfile.TemporaryDirectory() as directory, a_tree(Path(directory)) as tree:
        tree.keep(SIGNED)
        path = tree.place()
        whole = path.read_bytes()
        torn = whole[:data] if isinstance(data, int) else data
        path.write_bytes(torn)
        assert tree.recalled() == (SIGNED if torn == whole else None)
        sealed = {SHA: hashlib.sha256(torn).hexdigest()}
        assert (
            torn.strip() == whole.strip()
            or recall(tree.root, YUM, tree.lost.fragments, [SHA], lambda source: sealed) == {}
        )


def test_links_pipes_and_nests_are_ignored(tree: Tree, tmp_path: Path) -> None:
    tree.keep(SIGNED)
    path = tree.place()
    aside = tmp_path / "aside"
    path.rename(aside)
    path.symlink_to(aside)
    assert tree.recalled() is None
    path.unlink()
    os.mkfifo(path)
    assert tree.recalled() is None
    path.unlink()
    path.write_text("[" * 100_000)
    sealed = {SHA: hashlib.sha256(path.read_bytes()).hexdigest()}
    assert recall(tree.root, YUM, tree.lost.fragments, [SHA], lambda source: sealed) == {}
