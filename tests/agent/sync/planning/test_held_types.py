"""A repository keeps its type while the files that another one takes away are held back."""

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import MirrorView, PackageFile, Repo, Wanted
from packrat_agent.state.store import Store
from packrat_agent.sync.planning.held_types import hold_other_types
from packrat_agent.sync.planning.removals import Missing, RemovalLimits, hold_back_removals

REPO = Repo("one", "", "one", "apt", ())
OTHER = replace(REPO, kind="json")
LATER = RemovalLimits(100, 3600.0)
AT_ONCE = RemovalLimits(100, 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A mirror of that repository, with one live file."""
    made = Store(tmp_path / "state.db")
    made.repos.save([REPO])
    file = PackageFile("/file/1", "p", "bookworm", "1", "deb", "all", "/x", "p.deb", f"{1:064x}")
    made.wanted.remember_wanted(REPO.name, Wanted(frozenset({file.uri}), (file,), ()), None)
    made.wanted.set_live(REPO.name, [Entry(file, file.file_name, Fragment(b"", "p", "1", "all", size=1))])
    return made


def held(store: Store, repo: Repo, limits: RemovalLimits = LATER, *, accepted: bool = False) -> set[str]:
    view = hold_other_types(MirrorView("", (repo,), ()), store, limits, accepted=accepted)
    assert {other.name for other in view.repos}.isdisjoint(view.held)
    return set(view.held)


def test_another_type_waits_until_it_is_said_again_later_or_accepted(store: Store) -> None:
    assert held(store, REPO) == set()
    assert held(store, OTHER, AT_ONCE) == {"one"}
    assert held(store, OTHER) == {"one"}
    assert held(store, OTHER, AT_ONCE) == set()
    assert held(store, OTHER) == set(), "it is confirmed until the next sync"


def test_what_the_operator_accepts_does_not_wait(store: Store) -> None:
    assert held(store, OTHER, accepted=True) == set()


def test_a_directory_that_a_repository_of_another_type_takes_is_held(store: Store) -> None:
    new = replace(OTHER, name="new")
    assert held(store, new) == {"one", "new"}
    assert held(store, replace(new, kind="apt")) == set(), "it was renamed"
    assert held(store, new, AT_ONCE) == set()
    assert store.removals.held("one") == {}


def test_nothing_gets_the_directory_of_a_repository_that_stays(store: Store) -> None:
    moved = replace(OTHER, directory="elsewhere")
    for directory, waits in (("one", True), ("one/below", True), ("one-more", False)):
        view = MirrorView("", (moved, replace(REPO, name="new", directory=directory)), ())
        found = hold_other_types(view, store, LATER, accepted=False)
        assert ("new" in found.held, bool(found.repos)) == (waits, not waits)
    unusable = MirrorView("", (replace(OTHER, name="new"),), (), frozenset({"one"}))
    assert not hold_other_types(unusable, store, LATER, accepted=False).held


@pytest.mark.parametrize("offered", [True, False])
def test_what_was_let_go_is_held_no_second_time(store: Store, offered: bool) -> None:
    held(store, OTHER)
    held(store, OTHER, AT_ONCE)
    [uri] = store.wanted.lost("one", ())
    answer = Wanted(frozenset({uri} if offered else ()), (), ())
    missing = Missing(() if offered else (uri,), ())
    with capture_logs() as logs:
        assert hold_back_removals(OTHER, answer, missing, store, LATER, accepted=False) == answer
    assert logs == []
    assert store.removals.held("one") == {}


def test_a_repository_without_files_changes_at_once(store: Store) -> None:
    store.wanted.remember_wanted(REPO.name, Wanted((), (), ()), None)
    assert held(store, OTHER) == set()
    assert held(store, replace(OTHER, name="new", directory="new")) == set()
