"""A repository keeps its type while the files that another one takes away are held back."""

from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import MirrorView, PackageFile, Repo, Wanted
from packrat_agent.state.store import Store
from packrat_agent.sync.planning.held_types import hold_other_types
from packrat_agent.sync.planning.removals import RemovalLimits

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
    assert held(store, OTHER, AT_ONCE) == {"one"}, "it begins again"
    assert held(store, OTHER, accepted=True) == set()


def test_a_repository_without_files_changes_at_once(store: Store) -> None:
    store.wanted.remember_wanted(REPO.name, Wanted((), (), ()), None)
    assert held(store, OTHER) == set()
    assert held(store, replace(OTHER, name="new")) == set()
