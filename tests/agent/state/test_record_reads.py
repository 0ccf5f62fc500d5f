"""Which records are trusted: those read since the last sign that the server gives its URIs to other files."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.model.records import PackageFile, Repo, Wanted
from packrat_agent.state.file_state import FileState
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.store import Store

REPO = "apt-dev"
NOW = 1_800_000_000.0


def a_file(number: int, sha: str = "a") -> PackageFile:
    return PackageFile(f"/f/{number}", "pkg", "bookworm", "1", "deb", "all", "/files/x.deb", "x.deb", sha * 64)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "state.db")
    store.repos.save([Repo(name, "", name, "apt", ()) for name in (REPO, "other")])
    store.record_reads.note(REPO, [a_file(1), a_file(2)], NOW)
    store.record_reads.note("other", [a_file(1)], NOW)
    return store


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("state") / "state.db")
    store.repos.save([Repo(REPO, "", REPO, "apt", ())])
    return store


def unread(store: Store, now: float = NOW + 100) -> set[str]:
    return {f"{repo}{uri}" for repo in (REPO, "other") for uri in store.record_reads.unread(repo, now)}


def test_read_records_are_known_and_trusted(store: Store) -> None:
    assert store.wanted.known(REPO, None) == {"/f/1": a_file(1), "/f/2": a_file(2)}
    assert store.record_reads.dates(REPO) == {"/f/1": NOW, "/f/2": NOW}
    assert unread(store) == set()


@settings(max_examples=50)
@given(
    read=st.dictionaries(st.integers(1, 1300), st.integers(-3, 3), max_size=20),
    asked=st.one_of(
        st.lists(st.integers(1, 1300), unique=True, max_size=20),
        st.integers(1, 1300).map(lambda count: list(range(1, count + 1))),
    ),
)
def test_files_are_trusted_together_where_each_is_known_and_trusted(
    stored: Store, read: dict[int, int], asked: list[int]
) -> None:
    reads = stored.record_reads
    reads.note(REPO, [a_file(number) for number in range(1, 1201)], NOW)
    for number, later in read.items():
        reads.note(REPO, [a_file(number)], NOW + later)
    reads.distrust(NOW - 1)
    uris = [f"/f/{number}" for number in asked]
    known = reads.known_among(REPO, uris, NOW + 1)
    assert reads.are_trusted(REPO, uris, NOW + 1) is (len(known) == len(uris) and all(known.values()))


def test_distrusted_records_count_as_unread_until_read_again(store: Store) -> None:
    told: list[int] = []
    store.record_reads.on_distrust = lambda: told.append(1)
    store.record_reads.distrust(NOW + 10)
    store.record_reads.distrust(NOW + 5)
    assert told == [1], "what is distrusted from later on says it all"
    assert unread(store) == {"apt-dev/f/1", "apt-dev/f/2", "other/f/1"}
    assert store.record_reads.note_unless_other(REPO, [a_file(1)], NOW + 10) == 0
    assert unread(store) == {"apt-dev/f/2", "other/f/1"}


def test_a_date_of_a_clock_that_was_ahead_is_not_trusted(store: Store) -> None:
    assert unread(store, NOW - 1) == {"apt-dev/f/1", "apt-dev/f/2", "other/f/1"}


@pytest.mark.parametrize("beside", [False, True], ids=["in a sync", "beside the syncs"])
def test_a_record_that_differs_has_all_others_read_again(store: Store, beside: bool) -> None:
    read = store.record_reads.confirm if beside else store.record_reads.note
    read(REPO, [a_file(1, "b"), a_file(2)], NOW + 10)
    # Beside the syncs the row stays: it is what the index names.
    assert store.wanted.known(REPO, None)["/f/1"] == a_file(1, "a" if beside else "b")
    assert unread(store) == {"other/f/1", *(["apt-dev/f/1"] if beside else [])}


def test_no_record_is_remembered_if_one_differs_unless_it_may(store: Store) -> None:
    read = [a_file(1, "b"), a_file(2), a_file(3)]
    assert store.record_reads.note_unless_other(REPO, read, NOW + 10) is None
    assert store.record_reads.dates(REPO) == {"/f/1": NOW, "/f/2": NOW}
    assert store.record_reads.note(REPO, read, NOW + 10) == 1
    assert store.record_reads.note_unless_other(REPO, [*read, a_file(4)], NOW + 20) == 1
    assert store.record_reads.dates(REPO) == {f"/f/{number}": NOW + 20 for number in range(1, 5)}


def test_a_difference_in_what_was_distrusted_already_says_nothing_new(store: Store) -> None:
    store.record_reads.distrust(NOW + 10)
    store.record_reads.note("other", [a_file(1, "b")], NOW + 20)
    store.record_reads.confirm(REPO, [a_file(2, "b")], NOW + 25)
    store.record_reads.note(REPO, [a_file(1, "b")], NOW + 30)
    assert unread(store) == {"apt-dev/f/2"}


def test_known_uris_are_found_among_many_with_whether_they_are_trusted(store: Store) -> None:
    store.record_reads.note(REPO, [a_file(1)], NOW + 10)
    store.record_reads.distrust(NOW + 5)
    many = [f"/f/{number}" for number in range(1, 2000)]
    assert store.record_reads.known_among(REPO, many, NOW + 100) == {"/f/1": True, "/f/2": False}
    assert store.record_reads.known_among(REPO, many, NOW + 9) == {"/f/1": False, "/f/2": False}, "read in the future"
    assert store.record_reads.known_among(REPO, [], NOW + 100) == {}
    assert store.record_reads.read_among(REPO, ["/f/2", "/f/77", "/f/1"]) == [a_file(2), a_file(1)]


def test_a_record_that_differs_starts_again(store: Store) -> None:
    store.wanted.set_places(REPO, [("/f/1", "pool/x.deb")])
    store.record_reads.note(REPO, [a_file(1, "b")], NOW + 10)
    rows = store._db.rows("SELECT state, path, read_at FROM files WHERE repo = ? AND uri = '/f/1'", (REPO,))
    assert rows == [(FileState.WANTED, None, NOW + 10)]


def test_another_server_is_not_trusted_and_the_same_one_is(store: Store) -> None:
    store.record_reads.trust_server("http://one", NOW + 10)
    assert unread(store) == set(), "its name was not known before"
    store.record_reads.trust_server("http://one", NOW + 20)
    assert unread(store) == set()
    store.record_reads.trust_server("http://two", NOW + 30)
    assert unread(store) == {"apt-dev/f/1", "apt-dev/f/2", "other/f/1"}
    store.record_reads.distrust(NOW + 40)
    store.record_reads.note("other", [a_file(1)], NOW + 45)
    store.record_reads.trust_server("http://two", NOW + 50)
    assert unread(store) == {"apt-dev/f/1", "apt-dev/f/2"}, "a distrust forgets no server"


def test_records_remembered_by_a_sync_count_as_read(store: Store) -> None:
    file = replace(a_file(3), package="new")
    store.wanted.remember_wanted(REPO, Wanted(frozenset({file.uri}), (file,), ()), ["new"])
    assert store.record_reads.dates(REPO)[file.uri] > 0


def test_a_mark_is_of_the_lists_and_makes_no_record_another_one(store: Store) -> None:
    yanked = replace(a_file(1), yanked=True)
    wanted = Wanted(frozenset({"/f/1", "/f/2"}), (yanked, a_file(2)), (), frozenset({"/f/1"}))
    store.wanted.remember_wanted(REPO, wanted, None)
    assert store.record_reads.note(REPO, [a_file(1), a_file(2)], NOW + 10) == 0
    store.record_reads.confirm(REPO, [a_file(1)], NOW + 20)
    assert unread(store) == set()
    assert store.wanted.known(REPO, None)["/f/1"].yanked
    # An answer that knows no marks says nothing of them.
    assert store.wanted.are_marks_other(REPO, None, frozenset())
    assert not store.wanted.are_marks_other(REPO, None, None)
    store.wanted.remember_wanted(REPO, replace(wanted, files=(), yanked=None), None)
    assert store.wanted.known(REPO, None)["/f/1"].yanked


def test_places_are_remembered_of_files_that_are_new_or_other_ones(store: Store) -> None:
    places = {"/f/1": "apt-dev/pool/pkg/1.deb", "/f/2": "apt-dev/pool/pkg/2.deb", "/f/4": "apt-dev/pool/pkg/4.deb"}
    read = [a_file(1), a_file(2, "b"), a_file(3), a_file(4)]
    assert store.record_reads.note_unless_other(REPO, read, NOW + 10, places) is None
    assert {item.path for item in store.wanted.wanted_files(REPO)} == {""}
    assert store.record_reads.note(REPO, read, NOW + 10, places) == 2
    found = {item.file.uri: item.path for item in store.wanted.wanted_files(REPO)}
    assert found == {"/f/1": "", "/f/2": places["/f/2"], "/f/3": "", "/f/4": places["/f/4"]}
    assert store.record_reads.note_unless_other(REPO, [a_file(5)], NOW + 10, {"/f/5": "apt-dev/pool/pkg/5.deb"}) == 1
    assert {item.path for item in store.wanted.wanted_files(REPO) if item.file.uri == "/f/5"} == {
        "apt-dev/pool/pkg/5.deb"
    }
    # A place that no file on disk has changes nothing for those that are there.
    assert store.unplaced(REPO, FragmentSource("apt", 1)) == []
