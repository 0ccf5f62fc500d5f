"""Entries that the state database alone has: which of them need a path, also one beside a package file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.model.entries import Entry, Fragment, Product, StoredFile
from packrat_agent.model.records import DistroVersion, PackageFile, Repo, Wanted
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.store import Store
from packrat_agent.sync.planning.index_entries import SettledEntries, StoredEntries

VERSIONS = tuple(DistroVersion(name, "none", None, "python") for name in ("pypi", "other"))
REPO = Repo("pypi-dev", "", "pypi-dev", "pypi", VERSIONS)
SOURCE = FragmentSource("pypi", 2)


def entry(number: int, sha256: str, file_name: str, needed: str, distro_version: str = "pypi") -> Entry:
    record = PackageFile(
        *(
            f"/f/{number}",
            "torch",
            distro_version,
            "1.0",
            "python",
            "all",
            f"/files/{file_name}",
            file_name,
            sha256 * 64,
        )
    )
    products = (Product(".metadata", "e" * 64, 3, beside=True), Product(needed, "", 7, beside=True))
    return Entry(record, f"packages/torch/{file_name}", Fragment(b"wheel\n", "torch", "1.0", "all", products, size=7))


OWN = entry(1, "a", "torch-1.0+x.whl", "torch-1.0+x.whl")
RENAMED = entry(2, "a", "torch-1.0.x.whl", "torch-1.0+x.whl")
ELSEWHERE = entry(3, "a", "torch-1.0+x.whl", "torch-1.0+x.whl", "other")
ANOTHER = entry(4, "b", "torch-2.0.whl", "torch-2.0.whl")
PLACE = "pypi-dev/packages/torch/torch-1.0+x.whl"
FORMER = "pypi-dev/packages/torch/torch-1.0.x.whl"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    made.repos.save([REPO])
    yield made
    made.close()


def publish(store: Store, *entries: Entry) -> None:
    files = tuple(one.file for one in entries)
    store.wanted.remember_wanted(REPO.name, Wanted([file.uri for file in files], files, ()), None)
    store.fragments.save(SOURCE, {one.file.sha256: one.fragment for one in entries})
    store.wanted.set_places(REPO.name, [(one.file.uri, f"pypi-dev/{one.path}") for one in entries])
    store.wanted.set_live(REPO.name, entries)
    # A renamed file stands in its place and under the name that clients need.
    stood = {f"pypi-dev/{one.path.rpartition('/')[0]}/{name}": one for one in entries for name in names_of(one)}
    files_there = [StoredFile(path, one.file.sha256, 7, 1, 1) for path, one in stood.items()]
    store.live.adopt(REPO.name, [(file, file.sha256) for file in files_there], 0.0)


def names_of(one: Entry) -> tuple[str, str]:
    return one.file.file_name, one.fragment.file_name


@pytest.mark.parametrize(
    ("others", "needed"),
    [
        ((), set()),
        ((ANOTHER,), set()),
        ((RENAMED, ANOTHER), {PLACE, f"{PLACE}.metadata"}),
        ((ELSEWHERE,), {PLACE, f"{PLACE}.metadata"}),
    ],
    ids=["alone", "other bytes", "under another name", "for another version"],
)
def test_shared_products_stay_until_the_last_of_their_files_goes(
    store: Store, others: tuple[Entry, ...], needed: set[str]
) -> None:
    publish(store, OWN, *others)
    stored = StoredEntries(REPO, store.live_entries(REPO, SOURCE))
    paths = set(stored.paths_of([OWN]))
    assert paths == {PLACE, f"{PLACE}.metadata"}
    assert stored.shared(paths, [OWN]) == needed
    assert stored.shared(paths, [OWN, *others]) == set()


def test_a_renamed_file_alone_needs_its_own_place(store: Store) -> None:
    publish(store, OWN, RENAMED)
    stored = StoredEntries(REPO, store.live_entries(REPO, SOURCE))
    paths = set(stored.paths_of([RENAMED]))
    assert paths - stored.shared(paths, [RENAMED]) == {FORMER}


def test_shared_paths_cost_the_same_however_many_files_stand_beside_them(store: Store) -> None:
    names = [f"torch-{number}.whl" for number in range(1000)]
    beside = [entry(number, "c", name, name) for number, name in enumerate(names, start=10)]
    beside = [replace(one, file=replace(one.file, sha256=f"{at:064x}")) for at, one in enumerate(beside)]
    publish(store, OWN, RENAMED, *beside)
    stored = StoredEntries(REPO, store.live_entries(REPO, SOURCE))
    steps: list[int] = []
    store._db._connection.set_progress_handler(lambda: steps.append(1), 100)
    assert stored.shared({f"{PLACE}.metadata"}, [OWN]) == {f"{PLACE}.metadata"}
    assert len(steps) < 10


def test_settled_entries_are_read_without_those_that_are_looked_at(store: Store) -> None:
    publish(store, OWN, RENAMED, ANOTHER)
    live = store.live_entries(REPO, SOURCE)
    every, some = SettledEntries(REPO, live, ()), SettledEntries(REPO, live, {RENAMED.file.uri, ANOTHER.file.uri})
    assert list(every.names()) == list(some.names()) == [("torch", "torch", 3)]
    assert {one.file.uri for one in every.of(["torch"])} == {one.file.uri for one in (OWN, RENAMED, ANOTHER)}
    assert some.of(["torch", "none"]) == [OWN]
    assert every.renamed() == [RENAMED]
    assert some.renamed() == []
    assert every.places([OWN.path, ANOTHER.path, "packages/torch/none.whl"]) == {OWN.path, ANOTHER.path}
    assert some.places([OWN.path, ANOTHER.path]) == {OWN.path}
