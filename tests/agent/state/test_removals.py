"""What went and what is held back is answered of the right repository, of live files alone, and for exactly a day."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile, Repo, Wanted
from packrat_agent.state.removals import DAY_S, Removals
from packrat_agent.state.store import Store

NOW = 1_000_000.0
ONE, TWO = Repo("one", "", "one", "apt", ()), Repo("two", "", "two", "apt", ())
URIS = [f"/f/{number}" for number in range(6)]
"""The first four are live in ONE; the last four are known in TWO, of which two are live. Versions alternate."""


def a_file(number: int) -> PackageFile:
    version = "bookworm" if number % 2 else "trixie"
    return PackageFile(URIS[number], f"p{number}", version, "1", "deb", "all", "/x", f"p{number}.deb", f"{number:064x}")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    made.repos.save([ONE, TWO])
    for repo, known, live in ((ONE, range(4), range(4)), (TWO, range(2, 6), range(4, 6))):
        files = [a_file(number) for number in known]
        made.wanted.remember_wanted(repo.name, Wanted(frozenset(file.uri for file in files), tuple(files), ()), None)
        fragment = Fragment(b"", "p", "1", "all", size=1)
        made.wanted.set_live(repo.name, [Entry(a_file(number), "x", fragment) for number in live])
    yield made
    made.close()


@pytest.fixture
def removals(store: Store) -> Removals:
    return store.removals


def test_removed_files_count_where_they_went_unless_they_came_back(removals: Removals) -> None:
    # Live in ONE, known but not live in TWO, and unknown.
    removals.note_gone("one", [URIS[0], URIS[5], "/f/x"], NOW)
    removals.note_gone("two", [URIS[2], URIS[3], URIS[4], "/f/y"], NOW)
    assert sorted(removals.gone_uris("one", NOW)) == [URIS[5], "/f/x"]
    assert sorted(removals.gone_uris("two", NOW)) == [URIS[2], URIS[3], "/f/y"]
    assert (removals.gone("one", NOW), removals.gone("two", NOW), removals.gone(None, NOW)) == (2, 3, 5)
    removals.forget("two", ["/f/x", "/f/y"])
    assert removals.gone_uris("one", NOW) == [URIS[5], "/f/x"]
    assert sorted(removals.gone_uris("two", NOW)) == [URIS[2], URIS[3]]


def test_removed_files_count_for_a_day(removals: Removals) -> None:
    removals.note_gone("one", ["/f/x"], NOW)
    for later_s, count in ((DAY_S - 1, 1), (DAY_S, 0)):
        assert len(removals.gone_uris("one", NOW + later_s)) == removals.gone("one", NOW + later_s) == count
        assert removals.gone(None, NOW + later_s) == count
    # As long as it counts, it is remembered, and no longer.
    for later_s, count in ((DAY_S - 1, 1), (DAY_S, 0)):
        removals.note_gone("two", [], NOW + later_s)
        assert removals.gone("one", NOW) == count


def test_held_files_are_not_lost_and_may_stay_for_any_time(removals: Removals) -> None:
    removals.hold("one", URIS[:2], NOW)
    removals.hold("two", URIS[2:], NOW)
    assert removals.held("one") == dict.fromkeys(URIS[:2], NOW)
    # Only live files can be held back.
    assert removals.held("two") == dict.fromkeys(URIS[4:], NOW)
    assert removals.gone(None, NOW) == 0
    assert removals.gone_uris("two", NOW) == []
    removals.note_gone("one", [], NOW + 10 * DAY_S)
    assert removals.held("one") == dict.fromkeys(URIS[:2], NOW)
    removals.note_gone("one", [URIS[2]], NOW)
    assert removals.held("one") == dict.fromkeys(URIS[:2], NOW)


def test_files_held_again_keep_their_date_and_others_are_let_go(removals: Removals) -> None:
    removals.hold("one", URIS[:2], NOW)
    removals.hold("two", URIS[4:], NOW)
    removals.hold_repos(["one", "two"], NOW)
    removals.note_gone("one", ["/f/x"], NOW)
    removals.hold("one", URIS[1:3], NOW + 5)
    assert removals.held("one") == {URIS[1]: NOW, URIS[2]: NOW + 5}
    assert removals.held("two") == dict.fromkeys(URIS[4:], NOW)
    assert removals.repo_held_since("one") == removals.repo_held_since("two") == NOW
    assert removals.gone_uris("one", NOW) == ["/f/x"]


def test_live_files_are_counted_by_their_distribution_version_and_since_when_they_are_held(removals: Removals) -> None:
    assert [removals.count_live("one", version) for version in ("trixie", "bookworm", "sid")] == [2, 2, 0]
    assert [removals.count_live("two", version) for version in ("trixie", "bookworm", "sid")] == [1, 1, 0]
    removals.hold("one", [URIS[0]], NOW)
    removals.hold("two", [URIS[5]], NOW)
    removals.note_gone("one", [URIS[2]], NOW)
    for until, count in ((NOW - 1, 0), (NOW, 1), (NOW + 1, 1)):
        assert removals.count_live("one", "trixie", until) == count
        assert removals.count_live("one", "bookworm", until) == 0
        assert removals.count_live("two", "bookworm", until) == count
        assert removals.count_live("two", "trixie", until) == 0


def test_repositories_that_stay_keep_their_date_until_they_are_not_named_any_more(removals: Removals) -> None:
    removals.hold("one", [URIS[0]], NOW - 9)
    removals.note_gone("two", ["/f/x"], NOW - 9)
    assert removals.repo_held_since("one") is None
    removals.hold_repos(["one"], NOW)
    removals.hold_repos(["one", "two"], NOW + 5)
    assert (removals.repo_held_since("one"), removals.repo_held_since("two")) == (NOW, NOW + 5)
    removals.hold_repos(["two"], NOW + 7)
    assert (removals.repo_held_since("one"), removals.repo_held_since("two")) == (None, NOW + 5)
    assert removals.held("one") == {URIS[0]: NOW - 9}
    assert removals.gone_uris("two", NOW) == ["/f/x"]
