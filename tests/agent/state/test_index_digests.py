"""The digest of an index is that of its pointers, however they came about."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import LiveFile, ReadyPublication, UnsignedTree
from packrat_agent.state.index_digests import IndexDigests
from packrat_agent.state.store import Store

REPO = Repo("pypi", "", "pypi", "pypi", ())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state.db")
    yield store
    store.close()


def publish(store: Store, project: str, version: int, *ended: str) -> None:
    path = f"pypi/simple/{project}/index.html"
    file = LiveFile(path, project, f"{version:064x}", version, pointer_rank=1)
    tree = UnsignedTree(REPO, (ReadyPublication(project, f"{project} {version}", (), ()),), None, frozenset(ended))
    store.live.begin(REPO.name, [file])
    removed = [path for paths in store.live.pointers_of(REPO.name, ended).values() for path in paths]
    store.live.finish(tree, [file], [StoredFile(path, file.sha256, version, 1, 1)], 1.0, removed=removed)


def test_the_same_index_has_the_same_digest_whatever_came_before(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other.db")
    for project, version in (("a", 1), ("b", 1), ("a", 2)):
        publish(store, project, version)
        store.index_digests.digest(REPO.name)
    for project, version in (("b", 1), ("c", 5), ("a", 2)):
        publish(other, project, version)
    assert store.index_digests.digest(REPO.name) != other.index_digests.digest(REPO.name)
    publish(other, "a", 2, "c")
    assert store.index_digests.digest(REPO.name) == other.index_digests.digest(REPO.name)
    assert store.index_digests.digest("none") != store.index_digests.digest(REPO.name)
    other.close()


def test_an_index_hashed_during_a_publication_is_hashed_again(store: Store) -> None:
    publish(store, "a", 1)
    path = "pypi/simple/a/index.html"
    file = LiveFile(path, "a", f"{2:064x}", 2, pointer_rank=1)
    store.live.begin(REPO.name, [file])
    before = store.index_digests.digest(REPO.name)
    tree = UnsignedTree(REPO, (ReadyPublication("a", "a 2", (), ()),), None)
    store.live.finish(tree, [file], [StoredFile(path, file.sha256, 2, 1, 1)], 1.0)
    assert before != store.index_digests.digest(REPO.name) == IndexDigests(store._db).digest(REPO.name)


def test_a_publication_between_two_concurrent_hashes_is_in_the_digest(store: Store) -> None:
    for version in range(1, 101):
        publish(store, "a", version)
        with ThreadPoolExecutor(2) as threads:
            with store._db.transaction():
                first = threads.submit(store.index_digests.digest, REPO.name)
                while REPO.name in store.index_digests._doubted:
                    os.sched_yield()
                publish(store, "b", version)
                second = threads.submit(store.index_digests.digest, REPO.name)
            first.result()
            second.result()
        assert store.index_digests.digest(REPO.name) == IndexDigests(store._db).digest(REPO.name)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["publish", "cut off", "end", "forget", "distrust", "look"]),
            st.integers(0, 4),
            st.integers(1, 4),
        )
    )
)
def test_stored_digests_tell_which_index_files_to_read_again(
    steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("digests") / "state.db")
    for what, number, version in steps:
        project, path = f"p{number}", f"pypi/simple/p{number}/index.html"
        match what:
            case "publish":
                publish(store, project, version)
            case "cut off":
                store.live.begin(REPO.name, [LiveFile(path, project, f"{version:064x}", version, pointer_rank=1)])
            case "end":
                publish(store, f"p{(number + 1) % 5}", version, project)
            case "forget":
                store.live.forget([path])
            case "distrust":
                store.live.distrust([path])
            case _:
                store.index_digests.digest(REPO.name)
    assert store.index_digests.digest(REPO.name) == IndexDigests(store._db).digest(REPO.name)
    store.live.drop_repo(REPO.name, 2.0)
    assert store.index_digests.digest(REPO.name) == IndexDigests(store._db).digest("none")
    store.close()
