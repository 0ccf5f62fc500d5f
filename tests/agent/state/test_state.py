"""state: what was remembered comes back, migrations add up to the schema, withdrawn files expire."""

import re
import sqlite3
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from packrat_agent.model.changes import Retention
from packrat_agent.model.entries import Entry, Fragment, Product, Refusal, StoredFile
from packrat_agent.model.records import DistroVersion, PackageFile, Rejection, Repo, Wanted
from packrat_agent.model.tree import LiveFile, ReadyPublication, Retained, UnsignedTree
from packrat_agent.state.database import connect
from packrat_agent.state.file_state import FileState, Unreadable
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.scanned import KnownFile
from packrat_agent.state.store import Store
from packrat_core.errors import ConfigError, DiskError
from support.remembered import known_files, remembered_files

REPO = Repo("apt-dev", "APT dev", "apt-dev", "apt", (DistroVersion("bookworm", "debian", "bookworm", "deb"),))

APT = FragmentSource("apt", 1)
RULE = Retention(100, 100, 3)
FEW = Retained.FEW_GENERATIONS


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "state" / "state.db")
    store.repos.save([REPO])
    return store


def a_file(number: int, sha: str = "a", package: str = "pkg") -> PackageFile:
    return PackageFile(f"/f/{number}", package, "bookworm", "1", "deb", "all", "/files/x.deb", "x.deb", sha * 64)


def remember(store: Store, *files: PackageFile, packages: list[str] | None = None) -> None:
    yanked = frozenset(file.uri for file in files if file.yanked)
    wanted = Wanted(frozenset(f.uri for f in files), files, (), yanked)
    store.wanted.remember_wanted(REPO.name, wanted, packages)


def dump(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name").fetchall()
    # ALTER TABLE puts its own spaces around commas, and quotes around new names.
    plain = [(kind, name, " ".join(sql.replace('"', "").split())) for kind, name, sql in rows]
    return [(kind, name, re.sub(r"\s*([(),])\s*", r"\1", sql)) for kind, name, sql in plain]


def test_the_schema_is_the_sum_of_the_migrations(tmp_path: Path) -> None:
    written = sqlite3.connect(tmp_path / "written.db")
    written.executescript((resources.files("packrat_agent.state") / "schema.sql").read_text(encoding="utf-8"))
    assert dump(connect(tmp_path / "migrated.db")) == dump(written)


def test_a_database_of_a_newer_agent_is_left_alone(tmp_path: Path) -> None:
    connect(tmp_path / "state.db").execute("PRAGMA user_version = 999")
    with pytest.raises(ConfigError, match="newer packrat-agent"):
        connect(tmp_path / "state.db")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("this is no database, and long enough to be read as one" * 20)
    with pytest.raises(ConfigError, match="move it away"):
        connect(tmp_path / "state.db")


def test_a_path_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="state database"):
        connect(tmp_path / "file" / "state.db")


def test_repos_come_back_and_those_that_left_are_forgotten(store: Store) -> None:
    other = Repo("other", "", "other", "apt", (), show_only_latest=False)
    store.repos.save([REPO, other])
    assert store.repos.all() == (REPO, other)
    remember(store, a_file(1))
    store.repos.save([other])
    assert store.repos.all() == (other,)
    assert store.wanted.known(REPO.name, None) == {}


def test_wanted_files_follow_the_server_for_all_or_for_some_packages(store: Store) -> None:
    first, two, three = a_file(1, package="a"), a_file(2, package="b"), a_file(3, package="b")
    remember(store, first, two, three)
    assert store.wanted.known(REPO.name, ["b"]) == {two.uri: two, three.uri: three}
    remember(store, three, packages=["b"])
    assert store.wanted.known(REPO.name, None) == {first.uri: first, three.uri: three}


def test_a_file_that_is_yanked_stays_what_it_was(store: Store) -> None:
    one, two = a_file(1), a_file(2)
    remember(store, one, two)
    store.wanted.set_places(REPO.name, [(one.uri, "a/one")])
    store.wanted.set_live(REPO.name, [Entry(one, "one", Fragment(b"", "pkg", "1", "all", size=1))])
    for yanked in (True, False):
        remember(store, replace(one, yanked=yanked), two)
        marks = {uri: file.yanked for uri, file in store.wanted.known(REPO.name, None).items()}
        assert marks == {one.uri: yanked, two.uri: False}
        [first, second] = store.wanted.wanted_files(REPO.name)
        assert (first.file.yanked, first.state, first.path) == (yanked, FileState.LIVE, "a/one")
        assert (second.file.yanked, second.state) == (False, FileState.WANTED)
    # A record that is another one starts again, marked as the list says.
    remember(store, replace(a_file(1, "b"), yanked=True), two)
    [first, _] = store.wanted.wanted_files(REPO.name)
    assert (first.file.yanked, first.state, first.path) == (True, FileState.WANTED, "")


def test_fragments_go_with_what_they_were_read_from(store: Store, tmp_path: Path) -> None:
    rpm, former = FragmentSource("yum", 1, "key"), FragmentSource("yum", 1, "former key")
    shas = {name: name * 64 for name in "abcdef"}
    products = {"d": "1" * 64, "e": "2" * 64}
    remember(store, a_file(1, "a"), a_file(2, "b"))
    for source, name in ((APT, "a"), (former, "b"), (APT, "c"), (rpm, "d"), (rpm, "e"), (former, "f")):
        made = (Product("", products[name], 1),) if name in products else ()
        store.fragments.save(source, {shas[name]: Fragment(b"", name, "1", "all", made, size=1)})
    on_disk = [(StoredFile(name, sha, 1, 1, 1), sha) for name, sha in (("c", shas["c"]), ("d", products["d"]))]
    store.live.adopt(REPO.name, on_disk, 1.0)
    store.fragments.forget_unneeded([APT, rpm])
    db = sqlite3.connect(tmp_path / "state" / "state.db")
    # Wanted, on disk, a product on disk; not the one of a former key, nor what is wanted no more.
    assert {name for (name,) in db.execute("SELECT name FROM fragments")} == {"a", "c", "d"}
    store.fragments.forget_unneeded([FragmentSource("apt", 2), rpm])
    assert {name for (name,) in db.execute("SELECT name FROM fragments")} == {"c", "d"}
    # Without a repository nothing makes any.
    store.fragments.forget_unneeded([])
    assert {name for (name,) in db.execute("SELECT name FROM fragments")} == {"c", "d"}


def test_a_fragment_that_is_read_again_takes_the_place_of_the_former(store: Store) -> None:
    remember(store, a_file(1))
    for body in (b"first", b"second"):
        store.fragments.save(APT, {"a" * 64: Fragment(body, "x", "1", "all", size=7)})
    assert store.wanted.fragments(REPO.name, APT)["a" * 64].body == b"second"


def test_a_changed_record_starts_again_and_an_unusable_one_keeps_its_row(store: Store) -> None:
    remember(store, a_file(1), a_file(2))
    store.wanted.refuse(REPO.name, [Refusal(a_file(1), "torn"), Refusal(a_file(2), "torn")], unreadable=True)
    store.wanted.remember_wanted(REPO.name, Wanted(frozenset({"/f/1", "/f/2"}), (a_file(1, "b"),), ()), None)
    states = {
        item.file.uri: (item.state, item.reason, item.unreadable) for item in store.wanted.wanted_files("apt-dev")
    }
    assert states == {"/f/1": ("wanted", "", 0), "/f/2": ("refused", "torn", 1)}


def test_fragments_are_those_of_wanted_files_from_the_right_source(store: Store) -> None:
    remember(store, a_file(1), a_file(2, "b", "other"), a_file(3, "d"))
    fragment = Fragment(b"Package: x\n", "x", "1", "all", (Product("", "e" * 64, 5),), size=7)
    store.fragments.save(APT, {sha * 64: fragment for sha in "abc"})
    # Nobody wants the third, and the last wanted one was not read.
    assert store.wanted.fragments(REPO.name, APT) == {"a" * 64: fragment, "b" * 64: fragment}
    assert store.wanted.fragments(REPO.name, APT, ["other"]) == {"b" * 64: fragment}
    assert store.wanted.fragments("another", APT) == {}
    assert store.wanted.fragments(REPO.name, FragmentSource("apt", 2)) == {}
    assert store.wanted.fragments(REPO.name, FragmentSource("apt", 1, "key")) == {}


def states(store: Store) -> dict[str, str]:
    return {item.file.uri: item.state for item in store.wanted.wanted_files(REPO.name)}


def test_live_files_are_those_the_index_names(store: Store) -> None:
    remember(store, a_file(1), a_file(2))
    fragment = Fragment(b"", "x", "1", "all", size=1)
    store.wanted.set_live(REPO.name, [Entry(a_file(1), "p", fragment)])
    assert states(store) == {"/f/1": "live", "/f/2": "wanted"}
    store.wanted.set_live(REPO.name, [Entry(a_file(2), "p", fragment)])
    assert states(store) == {"/f/1": "wanted", "/f/2": "live"}


def publish(store: Store, now: float, *files: LiveFile, withdrawn: tuple[str, ...] = ()) -> None:
    store.live.begin(REPO.name, files)
    publication = ReadyPublication("bookworm", f"identity {now}", (), (), {"Date": str(now)})
    written = tuple(StoredFile(f.path, f.sha256, f.size, 1, 1) for f in files)
    store.live.finish(UnsignedTree(REPO, (publication,), ("bookworm",)), files, written, now, withdrawn=withdrawn)


def test_an_old_generation_stays_for_its_period_and_for_three_more_generations(store: Store) -> None:
    for now in range(6):
        publish(store, float(now), LiveFile(f"apt-dev/by-hash/{now}", "bookworm", "a" * 64, 1))
    assert store.generations.expired(5.0, Retention(100, 100, 3)) == []
    # Generation 6 stands; 5, 4 and 3 are kept for their number, whatever their age.
    assert store.generations.expired(1000.0, Retention(100, 100, 3)) == ["apt-dev/by-hash/0", "apt-dev/by-hash/1"]


def test_an_expendable_file_goes_by_number_alone(store: Store) -> None:
    for now in range(6):
        publish(store, float(now), LiveFile(f"apt-dev/by-hash/{now}", "bookworm", "a" * 64, 1, retained=FEW))
    assert store.generations.expired(5.0, Retention(100, 100, 3)) == ["apt-dev/by-hash/0", "apt-dev/by-hash/1"]


def test_a_withdrawn_package_goes_after_the_grace_period_unless_it_is_wanted_again(store: Store) -> None:
    package = LiveFile("apt-dev/pool/x", "", "a" * 64, 1)
    publish(store, 1.0, package)
    publish(store, 2.0, withdrawn=("apt-dev/pool/x",))
    assert store.generations.expired(50.0, RULE) == []
    assert store.generations.expired(102.0, RULE) == ["apt-dev/pool/x"]
    store.live.reinstate(REPO.name, ["apt-dev/pool/x"])
    assert store.generations.expired(1000.0, RULE) == []


def test_files_of_a_publication_only_begun_are_not_taken_for_live(store: Store) -> None:
    assert (store.live.has_files(), store.live.count_files()) == (False, 0)
    store.live.begin(REPO.name, [LiveFile("apt-dev/pool/x", "", "a" * 64, 1)])
    assert set(remembered_files(store)) == {"apt-dev/pool/x"}
    assert (store.live.has_files(), store.live.count_files()) == (True, 1)
    assert store.live.packages(REPO.name) == {}
    assert store.live.copies(["a" * 64]) == {}
    [was] = known_files(store)
    at = KnownFile("apt-dev/pool/x", "a" * 64, 1, 5, 7, 9, 1.0)
    store.scanned.note([(was, at)])
    assert store.live.packages(REPO.name) == {"apt-dev/pool/x": "a" * 64}
    assert remembered_files(store) == {"apt-dev/pool/x": at.file}


def test_forgetting_an_index_file_makes_its_section_due_again(store: Store) -> None:
    publish(store, 1.0, LiveFile("apt-dev/dists/x", "bookworm", "a" * 64, 1, pointer_rank=1))
    assert store.publications.identities(REPO.name) == {"bookworm": "identity 1.0"}
    store.live.forget(["apt-dev/dists/x"])
    assert store.publications.identities(REPO.name) == {"bookworm": ""}
    assert store.publications.facts(REPO.name) == {"bookworm": {"Date": "1.0"}}


def test_pointers_come_back_last_published_first(store: Store) -> None:
    publish(
        store,
        1.0,
        LiveFile("apt-dev/Release", "bookworm", "a" * 64, 1, pointer_rank=1),
        LiveFile("apt-dev/InRelease", "bookworm", "b" * 64, 1, pointer_rank=2),
        LiveFile("apt-dev/by-hash/b", "bookworm", "b" * 64, 1),
    )
    assert store.live.pointers(REPO.name) == {"bookworm": ["apt-dev/InRelease", "apt-dev/Release"]}


def marks(store: Store) -> dict[str, tuple[FileState, str | None, Unreadable]]:
    wanted = store.wanted.wanted_files(REPO.name)
    return {item.file.uri: (item.state, item.reason, item.unreadable) for item in wanted}


def test_a_failed_file_is_tried_again_by_the_next_sync_and_one_with_wrong_bytes_by_a_full_one(store: Store) -> None:
    remember(store, a_file(1, "a"), a_file(2, "b"))
    failures = [Refusal(a_file(1, "a"), "HTTP 404"), Refusal(a_file(2, "b"), "wrong bytes")]
    store.wanted.note_trouble(REPO.name, failures, ["b" * 64])
    assert marks(store) == {
        "/f/1": (FileState.WANTED, "HTTP 404", Unreadable.NO),
        "/f/2": (FileState.WANTED, "wrong bytes", Unreadable.UNTIL_FULL_SYNC),
    }
    store.wanted.set_live(REPO.name, [Entry(a_file(2, "b"), "p", Fragment(b"", "x", "1", "all", size=1))])
    assert marks(store)["/f/2"] == (FileState.LIVE, "", Unreadable.NO)


def test_flags_have_the_numbers_and_words_that_databases_hold() -> None:
    assert [(state.name, state.value) for state in FileState] == [
        ("WANTED", "wanted"),
        ("LIVE", "live"),
        ("REFUSED", "refused"),
    ]
    assert [(mark.name, mark.value) for mark in Unreadable] == [
        ("NO", 0),
        ("UNTIL_RECORD_CHANGES", 1),
        ("UNTIL_FULL_SYNC", 2),
    ]
    assert [(kind.name, kind.value) for kind in Retained] == [
        ("FEW_GENERATIONS", 0),
        ("AS_INDEX", 1),
        ("AS_PACKAGE", 2),
    ]


def test_a_repository_that_can_not_be_read_stays_and_one_that_left_takes_its_rejections_along(store: Store) -> None:
    store.repos.save([REPO, replace(REPO, name="other")])
    for name in (REPO.name, "other"):
        store.rejections.note(name, [Rejection("/f/9", "odd")])
    store.repos.save([], staying=["other"])
    assert [repo.name for repo in store.repos.all()] == ["other"]
    assert store._db.rows("SELECT repo FROM rejections") == [("other",)]


def test_rejections_are_replaced_for_what_was_looked_at(store: Store) -> None:
    store.rejections.note(REPO.name, [Rejection("/f/1", "odd"), Rejection("/f/2", "odd")])
    store.rejections.note(REPO.name, [Rejection("/f/3", "new")], asked=["/f/1", "/f/3"])
    assert store._db.rows("SELECT record, reason FROM rejections ORDER BY record") == [("/f/2", "odd"), ("/f/3", "new")]
    store.rejections.note(REPO.name, [Rejection("/f/4", "new")])
    assert store._db.rows("SELECT record FROM rejections") == [("/f/4",)]
    store.rejections.note("other", [Rejection("/f/4", "odd")])
    store.rejections.note(REPO.name, [], asked=["/f/4"])
    assert store._db.rows("SELECT repo FROM rejections") == [("other",)]
    store.rejections.note(REPO.name, [])
    assert store._db.rows("SELECT repo FROM rejections") == [("other",)]
    store.rejections.note(REPO.name, [Rejection("/f/5", "first"), Rejection("/f/5", "last")])
    assert store._db.rows("SELECT reason FROM rejections WHERE record = '/f/5'") == [("last",)]


def test_only_files_to_be_downloaded_are_awaited_and_only_live_ones_can_be_lost(store: Store) -> None:
    files = [a_file(number, letter) for number, letter in enumerate("abc")]
    remember(store, *files)
    store.wanted.set_live(REPO.name, [Entry(files[0], "p", Fragment(b"", "x", "1", "all", size=1))])
    store.wanted.refuse(REPO.name, [Refusal(files[1], "torn")])
    assert store.wanted.awaited() == {"c" * 64}
    assert (store.wanted.awaited_count(REPO.name), store.wanted.awaited_count("other")) == (1, 0)
    assert store.wanted.hashes() == {"a" * 64, "b" * 64, "c" * 64}
    assert store.wanted.lost(REPO.name, [files[1].uri]) == [files[0].uri]
    assert store.wanted.lost(REPO.name, [files[1].uri], ["other"]) == []
    # The third is missing, too, but not live.
    assert store.wanted.lost(REPO.name, [files[1].uri], ["pkg", "other"]) == [files[0].uri]
    assert store.wanted.lost(REPO.name, [files[0].uri]) == []
    assert (store.wanted.live_count(REPO.name), store.wanted.live_count(None)) == (1, 1)


def test_the_oldest_record_comes_first(store: Store) -> None:
    remember(store, a_file(10), a_file(9), a_file(100))
    assert [item.file.uri for item in store.wanted.wanted_files(REPO.name)] == ["/f/9", "/f/10", "/f/100"]


def test_a_name_stays_that_of_the_package_file_that_was_first_published_under_it(store: Store) -> None:
    for sha in ("a", "b"):
        publish(store, 1.0, LiveFile("apt-dev/pool/x", "", sha * 64, 1))
        assert store.published_names.find(REPO.directory) == {"apt-dev/pool/x": "a" * 64}
    store.live.adopt(REPO.name, [(StoredFile("apt-dev/pool/x", "c" * 64, 1, 1, 1), "c" * 64)], 2.0)
    assert store.published_names.find(REPO.directory) == {"apt-dev/pool/x": "a" * 64}


def test_a_transaction_that_fails_leaves_nothing_and_the_next_one_works(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store._db.transaction():
        store.events.add(1.0, "published", None, "x")
        _ = 1 // 0
    assert store._db.rows("SELECT * FROM events") == []
    store.events.add(2.0, "published", None, "y")
    assert [row[1] for row in store._db.rows("SELECT * FROM events")] == [2.0]


def test_a_file_that_can_not_be_read_is_written_again_but_not_taken_for_gone(store: Store) -> None:
    publish(
        store,
        1.0,
        LiveFile("apt-dev/x", "bookworm", "a" * 64, 1, pointer_rank=1),
        LiveFile("apt-dev/old", "", "b" * 64, 1),
    )
    publish(store, 2.0, LiveFile("apt-dev/x", "bookworm", "a" * 64, 1, pointer_rank=1), withdrawn=("apt-dev/old",))
    before = remembered_files(store)
    store.live.distrust(["apt-dev/old"])
    assert (remembered_files(store), store.publications.identities(REPO.name)) == (before, {"bookworm": "identity 2.0"})
    store.live.distrust(["apt-dev/x"])
    assert remembered_files(store)["apt-dev/x"].inode == 0
    assert store.publications.identities(REPO.name) == {"bookworm": ""}


def test_files_removed_by_publishing_are_forgotten(store: Store) -> None:
    publish(store, 1.0, LiveFile("apt-dev/old", "", "a" * 64, 1), LiveFile("apt-dev/new", "", "b" * 64, 1))
    store.live.finish(UnsignedTree(REPO, (), ()), (), (), 2.0, removed=("apt-dev/old",))
    assert set(remembered_files(store)) == {"apt-dev/new"}


def test_the_last_thousand_events_are_kept(store: Store) -> None:
    for number in range(1002):
        store.events.add(float(number), "published", "apt-dev", "bookworm")
    store.events.add(2000.0, "refused", None, "x")
    rows = store._db.rows("SELECT at, word, repo, text FROM events ORDER BY id")
    assert (len(rows), rows[0][0], rows[-1]) == (1000, 3.0, (2000.0, "refused", None, "x"))


def test_a_revision_advances_with_a_damaged_package_and_a_left_repository_but_not_with_collected_garbage(
    store: Store,
) -> None:
    publish(store, 1.0, LiveFile("apt-dev/pool/x", "", "a" * 64, 1), LiveFile("apt-dev/pool/y", "", "b" * 64, 1))
    publish(store, 2.0, withdrawn=("apt-dev/pool/y",))
    store.live.forget(["apt-dev/pool/y"])
    assert store.revisions.of(REPO.name) == 0
    store.live.forget(["apt-dev/pool/x"])
    assert store.revisions.of(REPO.name) == 1
    store.live.drop_repo(REPO.name, 3.0)
    assert store.revisions.of(REPO.name) == 2
    store.repos.save([])
    assert (store.revisions.of(REPO.name), store.revisions.of("other")) == (3, 0)
