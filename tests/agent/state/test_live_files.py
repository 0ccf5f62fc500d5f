"""What is asked of the files on disk is answered of the right repository, and of the right kind of file."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import LiveFile, ReadyPublication, Since, UnsignedTree
from packrat_agent.state.store import Store
from support.remembered import remembered_files

APT = Repo("apt-dev", "", "apt-dev", "apt", ())
NEAR = Repo("near", "", "apt-dev2", "apt", ())
"""A repository whose directory begins like that of APT."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    for repo in (APT, NEAR):
        publish(made, repo, 1.0, "index1", "pool1")
        publish(made, repo, 2.0, "index2", "pool2", withdrawn=("pool1",))
    yield made
    made.close()


def publish(store: Store, repo: Repo, now: float, index: str, package: str, withdrawn: tuple[str, ...] = ()) -> None:
    top = repo.directory
    files = [
        LiveFile(f"{top}/{index}", "s", "a" * 64, 1),
        LiveFile(f"{top}/Release", "s", "b" * 64, 1, pointer_rank=1),
        LiveFile(f"{top}/{index}.pointer", "s", "b" * 64, 1, pointer_rank=2),
        LiveFile(f"{top}/{package}", "", package[-1] * 64, 1),
    ]
    store.live.begin(repo.name, files)
    publication = ReadyPublication("s", f"{repo.name} {now}", (), (), {"of": repo.name})
    written = tuple(StoredFile(file.path, file.sha256, file.size, 1, 1) for file in files)
    tree = UnsignedTree(repo, (publication,), ("s",))
    store.live.finish(tree, files, written, now, withdrawn=[f"{top}/{name}" for name in withdrawn])


def test_package_files_are_those_of_the_repository_and_no_index_files(store: Store) -> None:
    assert set(store.live.packages("apt-dev")) == {"apt-dev/pool1", "apt-dev/pool2"}
    some = ["apt-dev/pool2", "apt-dev/index2", "apt-dev2/pool2"]
    assert set(store.live.packages("apt-dev", some)) == {"apt-dev/pool2"}
    assert store.live.withdrawn("apt-dev") == {"apt-dev/pool1"}
    assert set(store.live.copies(["1" * 64, "a" * 64])) == {"1" * 64}
    assert set(store.published_names.find("apt-dev")) == {"apt-dev/pool1", "apt-dev/pool2"}
    assert set(store.published_names.find("apt-dev2")) == {"apt-dev2/pool1", "apt-dev2/pool2"}


def test_publications_are_those_of_the_repository(store: Store) -> None:
    assert store.publications.identities("near") == {"s": "near 2.0"}
    assert store.publications.facts("near") == store.publications.facts_with("near", "of") == {"s": {"of": "near"}}
    assert store.publications.facts_with("near", "Date") == {}
    assert store.live.pointers("near") == {"s": ["apt-dev2/index2.pointer", "apt-dev2/Release"]}


def test_a_repository_counts_as_published_until_all_of_it_is_withdrawn(store: Store) -> None:
    assert store.live.published_repos() == {"apt-dev", "near"}
    store.live.drop_repo("near", 3.0)
    assert store.live.published_repos() == {"apt-dev"}
    assert store.publications.identities("near") == {}
    assert store.live.pointers("near") == {}
    # What was only begun counts, and so does a publication without files.
    store.live.begin("near", [LiveFile("apt-dev2/pool3", "", "3" * 64, 1)])
    assert store.live.published_repos() == {"apt-dev", "near"}
    store.live.forget(["apt-dev2/pool3"])
    empty = UnsignedTree(NEAR, (ReadyPublication("s", "i", (), (), {}),), ("s",))
    store.live.finish(empty, [], [], 4.0)
    assert store.live.published_repos() == {"apt-dev", "near"}


def test_withdrawn_files_belong_to_no_repository_that_has_to_be_mended(store: Store) -> None:
    assert store.live.repos_of(["apt-dev/pool1", "apt-dev/index1", "nowhere"]) == frozenset()
    assert store.live.repos_of(["apt-dev/pool1", "apt-dev/pool2", "apt-dev2/Release"]) == {"apt-dev", "near"}
    store.live.forget(["apt-dev/index1", "apt-dev/pool1"])
    assert store.publications.identities("apt-dev") == {"s": "apt-dev 2.0"}
    assert set(store.live.packages("apt-dev")) == {"apt-dev/pool2"}


def test_a_publication_that_ended_is_withdrawn_and_the_others_stay(store: Store) -> None:
    other = ReadyPublication("other", "i", (), (), {})
    store.live.finish(UnsignedTree(APT, (other,), ("other",)), [], [], 3.0)
    assert store.publications.identities("apt-dev") == {"other": "i"}
    assert store.live.pointers("apt-dev") == {}
    assert store.publications.identities("near") == {"s": "near 2.0"}
    assert "apt-dev2/index2" not in store.live.withdrawn("near")
    assert store.live.repos_of(["apt-dev/index2"]) == frozenset()
    assert store.live.repos_of(["apt-dev/pool2", "apt-dev2/index2"]) == {"apt-dev", "near"}


def test_a_path_that_changes_hands_is_remembered_as_it_is_now(store: Store) -> None:
    file = LiveFile("apt-dev/pool2", "", "c" * 64, 9)
    store.live.begin("near", [file])
    at = StoredFile(file.path, file.sha256, 9, 7, 8)
    store.live.finish(UnsignedTree(replace(NEAR, directory="apt-dev"), (), ("s",)), [file], [at], 3.0)
    assert store.live.packages("near")["apt-dev/pool2"] == at.sha256
    assert remembered_files(store)["apt-dev/pool2"] == at
    assert "apt-dev/pool2" not in store.live.packages("apt-dev")


def test_only_a_package_file_of_the_repository_is_reinstated(store: Store) -> None:
    store.live.reinstate("apt-dev", ["apt-dev/index1", "apt-dev2/pool1"])
    assert store.live.repos_of(["apt-dev/index1", "apt-dev2/pool1"]) == frozenset()
    store.live.reinstate("apt-dev", ["apt-dev/pool1"])
    assert store.live.repos_of(["apt-dev/pool1"]) == {"apt-dev"}


def test_files_of_a_begun_publication_are_flushed_and_not_withdrawn(store: Store) -> None:
    statements: list[str] = []
    store._db._connection.set_trace_callback(statements.append)
    store.live.begin("apt-dev", [LiveFile("apt-dev/pool1", "", "1" * 64, 1)])
    store._db._connection.set_trace_callback(None)
    assert statements[:2] == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE"]
    assert store.live.withdrawn("apt-dev") == frozenset()


def test_distrusting_files_makes_a_new_revision(store: Store) -> None:
    before = store.revisions.of("apt-dev")
    store.live.distrust(["apt-dev/pool1"])
    assert store.revisions.of("apt-dev") == before, "it is withdrawn"
    store.live.distrust(["apt-dev/pool2"])
    assert store.revisions.of("apt-dev") != before


def test_only_the_named_differences_of_a_publication_change_its_rows(store: Store) -> None:
    new = LiveFile("apt-dev/index3", "s", "c" * 64, 1)
    store.live.begin("apt-dev", [new])
    since = Since("apt-dev 2.0", ("index2",), ("index2.pointer",))
    tree = UnsignedTree(APT, (ReadyPublication("s", "apt-dev 3.0", (), (), {}, since=since),), ("s",))
    at = StoredFile(new.path, new.sha256, 1, 1, 1)
    store.live.finish(tree, [new], [at], 3.0, removed=["apt-dev/index2.pointer"])
    assert store.live.withdrawn_of(["apt-dev/index2", "apt-dev/index3", "apt-dev/Release"]) == {"apt-dev/index2"}
    assert store.live.pointers("apt-dev") == {"s": ["apt-dev/Release"]}
    assert store.live.pointers("apt-dev", ["s"]) == {}
    assert store.live.pointers("near") != {}


def test_names_are_looked_up_when_they_are_asked_for(store: Store) -> None:
    names = store.published_names.below("apt-dev")
    assert names.get("apt-dev/pool1", "") == "1" * 64
    assert names.get("apt-dev2/pool1") is None
    assert dict(names) == store.published_names.find("apt-dev")


def test_a_name_that_is_known_is_not_counted_again_and_keeps_what_it_has(store: Store) -> None:
    names = store.published_names
    before = names.count()
    assert before == len(dict(names.in_order()))
    assert names.add([("apt-dev/pool1", "9" * 64), ("z/new", "9" * 64), ("z/new", "8" * 64)]) == 1
    assert names.count() == before + 1
    assert names.find("apt-dev")["apt-dev/pool1"] == "1" * 64
    assert names.find("z") == {"z/new": "9" * 64}
    assert names.find("none") == {}


@given(st.sets(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), max_size=20))
def test_names_come_in_the_order_of_their_paths(names: set[str]) -> None:
    with TemporaryDirectory() as directory, closing(Store(Path(directory) / "state.db")) as store:
        assert store.published_names.is_empty()
        store.published_names.add((f"a/{name}", "a" * 64) for name in names)
        assert store.published_names.is_empty() is not bool(names)
        assert list(store.published_names.in_order()) == sorted((f"a/{name}", "a" * 64) for name in names)


def test_very_many_names_come_each_once(store: Store) -> None:
    before = dict(store.published_names.in_order())
    names = {f"a/{number:05}": f"{number:064}" for number in range(10_001)}
    store.published_names.add(names.items())
    assert before
    assert list(store.published_names.in_order()) == sorted((before | names).items())


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_written_file_is_noted_over_a_row_of_other_bytes_or_another_repository(store: Store, is_moved: bool) -> None:
    files = [LiveFile("apt-dev/pool2", "", "2" * 64, 1), LiveFile("apt-dev/pool9", "", "9" * 64, 1)]
    if is_moved:
        files[0] = LiveFile("apt-dev2/pool2", "", "7" * 64, 1)
    store.live.begin("apt-dev", files)
    written = [StoredFile(file.path, file.sha256, 5, 6, 7) for file in files]
    store.live.finish(UnsignedTree(APT, (), ("s",)), files, written, 8.0)
    known = store.scanned.look_up([file.path for file in files])
    assert [known[file.path][:5] for file in files] == [(file.path, file.sha256, 5, 6, 7) for file in files]
    packages = store.live.packages("apt-dev", [file.path for file in files])
    assert packages == {file.path: file.sha256 for file in files}
    assert store.live.repos_of([files[0].path]) == {"apt-dev"}
