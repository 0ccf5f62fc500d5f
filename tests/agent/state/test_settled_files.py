"""What a sync asks of many files at once: which packages there are, what is live, which paths belong to none."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.model.entries import Fragment, Product, Refusal, StoredFile
from packrat_agent.model.records import DistroVersion, PackageFile, Repo, Wanted
from packrat_agent.state.database import copy_database
from packrat_agent.state.file_state import FileState
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.listed_uris import Listing, missing_from
from packrat_agent.state.store import Store

REPO = Repo("apt-dev", "", "apt-dev", "apt", (DistroVersion("bookworm", "debian", "12", "deb"),))
FILES = tuple(
    PackageFile(
        *(f"/f/{number}/", f"package{number % 10}", "bookworm", str(number), "deb", "all", "/x", f"{number}.deb"),
        f"{number:064x}",
    )
    for number in range(1200)
)
URIS = [file.uri for file in FILES]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    made.repos.save([REPO])
    made.wanted.remember_wanted(REPO.name, Wanted(URIS, FILES, ()), None)
    made.wanted.set_places(REPO.name, [(file.uri, f"apt-dev/pool/{file.file_name}") for file in FILES])
    yield made
    made.close()


def states(store: Store) -> dict[str, FileState]:
    return {item.file.uri: item.state for item in store.wanted.wanted_files(REPO.name)}


@pytest.mark.parametrize(
    ("size", "packages"),
    [(480, [4, 4, 2]), (599, [4, 4, 2]), (600, [5, 5]), (1199, [9, 1]), (1200, [10]), (5000, [10]), (7, [1] * 10)],
)
def test_packages_come_in_order_so_many_files_at_a_time(store: Store, size: int, packages: list[int]) -> None:
    """Each has 120: of a repository that keeps all versions, a few packages are as much work as many of another."""
    names = [f"package{number}" for number in range(10)]
    # A package that has no file left by then is passed over.
    for found in (
        store.wanted.packages(REPO.name, size),
        store.wanted.packages_among(REPO.name, [*names[::-1], "gone"], size),
    ):
        portions = list(found)
        assert [len(portion) for portion in portions] == packages
        assert [name for portion in portions for name in portion] == names


def test_only_the_files_that_were_looked_at_change_their_state(store: Store) -> None:
    store.wanted.set_live_among(REPO.name, URIS[:1000], set(URIS[:900]))
    assert [uri for uri, state in states(store).items() if state is FileState.LIVE] == URIS[:900]
    store.wanted.refuse(REPO.name, [Refusal(FILES[0], "wrong"), Refusal(FILES[1], "wrong")])
    store.wanted.set_live_among(REPO.name, URIS[:4], {URIS[1], URIS[2]})
    found = states(store)
    assert [found[uri] for uri in URIS[:5]] == [
        *(FileState.REFUSED, FileState.LIVE, FileState.LIVE, FileState.WANTED, FileState.LIVE)
    ]
    indexed = store.wanted.indexed_among(REPO.name, URIS)
    assert sorted(file.uri for file in indexed) == sorted(set(URIS[1:900]) - {URIS[3]})
    assert next(file.path for file in indexed if file.uri == URIS[1]) == "apt-dev/pool/1.deb"


def test_live_files_in_the_place_of_no_wanted_file_are_to_be_withdrawn(store: Store) -> None:
    store.live.adopt(REPO.name, [on_disk(number) for number in (1, 2, 3, 4000, 5000)], 1.0)
    store.live.adopt_withdrawn(REPO.name, [on_disk(6000)[0]], 1.0)
    store.wanted.refuse(REPO.name, [Refusal(FILES[3], "wrong")])
    unplaced = store.unplaced(REPO.name, SOURCE)
    assert unplaced == ["apt-dev/pool/3.deb", "apt-dev/pool/4000.deb", "apt-dev/pool/5000.deb"]


def test_missing_uris_are_found_in_lists_on_disk_and_in_memory(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    listing.add(URIS[:1100])
    for offered in (listing, frozenset(URIS[:1100])):
        assert missing_from(offered, [*URIS[1000:], "/other/"]) == [*URIS[1100:], "/other/"]


SOURCE = FragmentSource("apt", 2)
FEW = FILES[:8]


def on_disk(number: int, sha256: str | None = None, inode: int = 1) -> tuple[StoredFile, str]:
    own = f"{number:064x}"
    return StoredFile(f"apt-dev/pool/{number}.deb", sha256 or own, 1, 1, inode), own


@pytest.fixture(params=["some signed", "all as they are"])
def settled(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    made.repos.save([REPO])
    made.wanted.remember_wanted(REPO.name, Wanted([file.uri for file in FEW], FEW, ()), None)
    made.wanted.set_places(REPO.name, [(file.uri, f"apt-dev/pool/{file.file_name}") for file in FEW])
    fragments = {file.sha256: Fragment(b"", file.package, file.version, "all", size=1) for file in FEW}
    last = on_disk(7)
    if request.param == "some signed":
        fragments[FEW[7].sha256] = Fragment(b"", "package7", "7", "all", (Product("", "7" * 64, 1),), size=1)
        last = on_disk(7, "7" * 64)
    made.fragments.save(SOURCE, fragments)
    made.live.adopt(REPO.name, [*(on_disk(number) for number in range(7)), last], 1.0)
    made.wanted.set_live_among(REPO.name, (), {file.uri for file in FEW})
    yield made
    made.close()


def test_no_package_is_open_once_all_are_settled(settled: Store) -> None:
    assert settled.open_packages(REPO.name, SOURCE) == []


@pytest.mark.parametrize(
    "disturb",
    [
        lambda store: store.wanted.set_live_among(REPO.name, [FILES[3].uri], set()),
        lambda store: store.wanted.refuse(REPO.name, [Refusal(FILES[3], "wrong")]),
        lambda store: store.wanted.refuse(REPO.name, [Refusal(FILES[3], "wrong")], unreadable=True),
        lambda store: store.wanted.set_places(REPO.name, [(FILES[3].uri, "apt-dev/pool/other.deb")]),
        lambda store: store.live.forget(["apt-dev/pool/3.deb"]),
        lambda store: store.live.distrust(["apt-dev/pool/3.deb"]),
        lambda store: store.live.adopt(REPO.name, [on_disk(3, "f" * 64)], 1.0),
        lambda store: store.live.adopt("other", [on_disk(3)], 1.0),
        lambda store: store.live.adopt_withdrawn(REPO.name, [on_disk(3)[0]], 1.0),
        lambda store: store.fragments.save(
            SOURCE, {FILES[3].sha256: Fragment(b"", "p", "3", "all", (Product("", "3" * 64, 1),), size=1)}
        ),
        lambda store: store._db.rows("DELETE FROM fragments WHERE sha256 = ?", (FILES[3].sha256,)),
        lambda store: store._db.rows("UPDATE files SET unreadable = 2 WHERE uri = ?", (FILES[3].uri,)),
        lambda store: store._db.rows("UPDATE files SET path = NULL WHERE uri = ?", (FILES[3].uri,)),
    ],
    ids=[
        *("not live", "refused", "unreadable", "elsewhere", "gone", "distrusted"),
        *(
            "other bytes",
            "of another repository",
            "withdrawn",
            "to be signed",
            "unread",
            "wrong bytes",
            "without place",
        ),
    ],
)
def test_a_package_is_open_whatever_is_not_as_it_was(settled: Store, disturb: Callable[[Store], None]) -> None:
    disturb(settled)
    assert settled.open_packages(REPO.name, SOURCE) == ["package3"]


def test_a_package_is_open_if_another_file_was_published_in_its_place(settled: Store) -> None:
    settled.live.forget(["apt-dev/pool/4.deb"])
    settled.wanted.set_places(REPO.name, [(FILES[4].uri, "apt-dev/pool/5.deb")])
    assert settled.open_packages(REPO.name, SOURCE) == ["package4"]


def test_an_older_database_gets_its_indexes_and_all_stays_settled(tmp_path: Path, settled: Store) -> None:
    copy = copy_database(tmp_path / "state.db", tmp_path / "old.db")
    with closing(sqlite3.connect(copy)) as old:
        old.executescript(
            "DROP INDEX files_by_path; CREATE INDEX files_by_path ON files (repo, path); "
            "DROP INDEX fragments_with_products; DROP INDEX fragments_in_order; PRAGMA user_version = 15;"
        )
    with closing(Store(copy)) as upgraded:
        assert upgraded.open_packages(REPO.name, SOURCE) == []
        assert not upgraded.has_unwanted(REPO.name, SOURCE)
        assert upgraded.fragments.backups([SOURCE]) == settled.fragments.backups([SOURCE])


def test_a_file_that_nobody_wants_is_noticed_where_all_is_settled(settled: Store) -> None:
    assert not settled.has_unwanted(REPO.name, SOURCE)
    settled.live.adopt(REPO.name, [on_disk(9)], 1.0)
    assert settled.has_unwanted(REPO.name, SOURCE)
    settled.live.forget(["apt-dev/pool/9.deb"])
    assert not settled.has_unwanted(REPO.name, SOURCE)


def test_a_withdrawn_file_hides_no_other_one_that_nobody_wants(settled: Store) -> None:
    settled.live.adopt_withdrawn(REPO.name, [on_disk(8)[0]], 1.0)
    settled.repos.save([REPO, replace(REPO, name="other", directory="other")])
    settled.live.adopt_withdrawn("other", [StoredFile("other/pool/9.deb", "9" * 64, 1, 1, 1)], 1.0)
    assert not settled.has_unwanted(REPO.name, SOURCE)
    assert settled.unplaced(REPO.name, SOURCE) == []
    settled.live.adopt(REPO.name, [on_disk(9)], 1.0)
    assert settled.has_unwanted(REPO.name, SOURCE)
    assert settled.unplaced(REPO.name, SOURCE) == ["apt-dev/pool/9.deb"]


def test_fragments_of_another_source_leave_all_open(settled: Store) -> None:
    assert len(settled.open_packages(REPO.name, FragmentSource("apt", 3))) == len(FEW)
    assert len(settled.open_packages(REPO.name, FragmentSource("apt", 2, "KEY"))) == len(FEW)


WHEELS = FragmentSource("pypi", 2)
BESIDE = StoredFile("apt-dev/pool/1.deb.metadata", "a" * 64, 1, 1, 1), "a" * 64


@pytest.fixture
def accompanied(tmp_path: Path) -> Iterator[Store]:
    """Of one of two files, which clients need under the names of their records, something stands beside it."""
    made = Store(tmp_path / "state.db")
    made.repos.save([REPO])
    files = FEW[1:3]
    made.wanted.remember_wanted(REPO.name, Wanted([file.uri for file in files], files, ()), None)
    made.wanted.set_places(REPO.name, [(file.uri, f"apt-dev/pool/{file.file_name}") for file in files])
    made.fragments.save(WHEELS, {file.sha256: of_wheel(file, has_product=file == FEW[1]) for file in files})
    made.live.adopt(REPO.name, [on_disk(1), on_disk(2), BESIDE], 1.0)
    made.wanted.set_live_among(REPO.name, (), {file.uri for file in files})
    yield made
    made.close()


def of_wheel(file: PackageFile, name: str = "", *, has_product: bool = True) -> Fragment:
    products = (Product(".metadata", BESIDE[1], 1, beside=True),) if has_product else ()
    needed = Product(name or file.file_name, "", 1, beside=True)
    return Fragment(b"wheel\n", file.package, file.version, "all", (*products, needed), size=1)


def test_files_beside_a_package_file_are_settled_with_it(accompanied: Store) -> None:
    assert accompanied.open_packages(REPO.name, WHEELS) == []
    assert not accompanied.has_unwanted(REPO.name, WHEELS)
    assert accompanied.unplaced(REPO.name, WHEELS) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda store: store.live.forget([BESIDE[0].path]),
        lambda store: store.live.distrust([BESIDE[0].path]),
        lambda store: store.live.adopt(REPO.name, [(replace(BESIDE[0], sha256="b" * 64), "b" * 64)], 2.0),
        lambda store: store.live.adopt_withdrawn(REPO.name, [BESIDE[0]], 2.0),
        lambda store: store.fragments.save(WHEELS, {FEW[1].sha256: of_wheel(FEW[1], "1+x.deb")}),
    ],
    ids=["gone", "not seen", "other bytes", "withdrawn", "clients need another name"],
)
def test_a_package_is_open_where_what_belongs_beside_it_may_not_be_there(
    accompanied: Store, damage: Callable[[Store], None]
) -> None:
    damage(accompanied)
    assert accompanied.open_packages(REPO.name, WHEELS) == [FEW[1].package]


def test_files_beside_no_wanted_file_are_to_be_withdrawn(accompanied: Store) -> None:
    stray = StoredFile("apt-dev/pool/2.deb.metadata", "c" * 64, 1, 1, 1)
    accompanied.live.adopt(REPO.name, [(stray, stray.sha256)], 1.0)
    assert accompanied.has_unwanted(REPO.name, WHEELS)
    assert accompanied.unplaced(REPO.name, WHEELS) == [stray.path]
    accompanied.wanted.refuse(REPO.name, [Refusal(FEW[1], "wrong")])
    assert accompanied.unplaced(REPO.name, WHEELS) == ["apt-dev/pool/1.deb", BESIDE[0].path, stray.path]


def test_files_whose_marks_the_server_has_changed_are_found_with_their_former_marks(accompanied: Store) -> None:
    uris, yanked = [file.uri for file in FEW[1:3]], FEW[1].uri
    wanted = Wanted(uris, (), (), yanked=frozenset({yanked}))
    assert accompanied.wanted.changed_marks(REPO.name, wanted, None) == {yanked: False}
    assert accompanied.wanted.packages_of(REPO.name, {yanked}) == {FEW[1].package}
    accompanied.wanted.remember_wanted(REPO.name, wanted, None)
    assert accompanied.wanted.changed_marks(REPO.name, wanted, None) == {}
    assert accompanied.wanted.changed_marks(REPO.name, replace(wanted, yanked=frozenset()), None) == {yanked: True}
    assert accompanied.wanted.changed_marks(REPO.name, replace(wanted, yanked=None), None) == {}
