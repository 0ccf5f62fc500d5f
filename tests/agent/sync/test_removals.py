"""removals: what a server suddenly takes away stays until it says so again, or the operator does."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile, Repo, Wanted
from packrat_agent.state.store import Store
from packrat_agent.sync.removals import RemovalLimits, hold_back_leaving, hold_back_removals
from packrat_core.errors import Held

AT_ONCE = RemovalLimits(50, 0.0)
LATER = RemovalLimits(50, 3600.0)


def a_repo(name: str, directory: str = "") -> Repo:
    return Repo(name, "", directory or name, "apt", ())


def offer(repo: Repo, numbers: Collection[int]) -> Wanted:
    files = tuple(
        PackageFile(f"/{repo.name}/{n}", f"p{n}", "bookworm", "1", "deb", "all", "/x", f"p{n}.deb", f"{n:064x}", "")
        for n in numbers
    )
    return Wanted(frozenset(file.uri for file in files), files, ())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def live(store: Store, files: dict[str, int]) -> list[Repo]:
    """Make repositories with so many live files each."""
    repos = [a_repo(name) for name in files]
    store.wanted.save_repos(repos)
    for repo in repos:
        wanted = offer(repo, range(files[repo.name]))
        store.wanted.remember_wanted(repo.name, wanted, None)
        entries = [Entry(file, file.file_name, Fragment(b"", "p", "1", "all", size=1)) for file in wanted.files]
        store.wanted.set_live(repo.name, entries)
    return repos


def is_held(store: Store, repo: Repo, left: Collection[int], limits: RemovalLimits, *, accepted: bool = False) -> bool:
    try:
        hold_back_removals(repo, offer(repo, left), store, limits, accepted=accepted)
    except Held:
        return True
    return False


@pytest.mark.parametrize(
    ("had", "left", "percent", "held"),
    [
        (1, 0, 100, True),
        (1, 0, 0, True),
        (9, 1, 50, False),
        (20, 11, 50, False),
        (20, 10, 50, False),
        (20, 9, 50, True),
        (20, 9, 60, False),
        (20, 10, 0, True),
        (20, 11, 0, False),
        (20, 1, 100, False),
    ],
)
def test_how_much_of_a_repository_may_go_at_once(store: Store, had: int, left: int, percent: int, held: bool) -> None:
    [repo] = live(store, {"one": had})
    assert is_held(store, repo, range(left), RemovalLimits(percent, 3600.0)) is held


def test_what_is_held_goes_when_it_is_said_again_later_or_is_accepted(store: Store) -> None:
    [repo] = live(store, {"one": 20})
    assert is_held(store, repo, (), AT_ONCE)
    assert is_held(store, repo, (), LATER)
    assert not is_held(store, repo, (), AT_ONCE)
    assert is_held(store, repo, (), LATER)
    assert not is_held(store, repo, (), LATER, accepted=True)


def test_a_server_that_comes_to_its_senses_starts_anew(store: Store) -> None:
    [repo] = live(store, {"one": 20})
    assert is_held(store, repo, (), AT_ONCE)
    assert not is_held(store, repo, range(20), AT_ONCE)
    assert is_held(store, repo, (), AT_ONCE)


@pytest.mark.parametrize(
    ("had", "named", "staying"),
    [
        ({"one": 1, "two": 0}, (), ["one", "two"]),
        ({"one": 0, "two": 0}, (), []),
        ({"one": 9, "two": 1}, ["two"], []),
        ({"one": 10, "two": 10}, ["two"], []),
        ({"one": 11, "two": 10}, ["two"], ["one"]),
        ({"one": 6, "two": 6, "three": 1}, ["three"], ["one", "two"]),
    ],
)
def test_how_many_repositories_may_leave_at_once(
    store: Store, had: dict[str, int], named: Sequence[str], staying: list[str]
) -> None:
    live(store, had)
    repos = [a_repo(name) for name in named]
    assert sorted(one.repo for one in hold_back_leaving(repos, (), store, LATER, accepted=False)) == sorted(staying)


def test_repositories_that_stay_go_when_it_is_said_again_later_or_is_accepted(store: Store) -> None:
    live(store, {"one": 20, "two": 20})
    assert len(hold_back_leaving((), (), store, AT_ONCE, accepted=False)) == 2
    assert hold_back_leaving((), (), store, LATER, accepted=False)
    assert not hold_back_leaving((), (), store, LATER, accepted=True)
    assert hold_back_leaving((), (), store, LATER, accepted=False)
    assert not hold_back_leaving((), (), store, AT_ONCE, accepted=False)


def test_a_repository_that_came_back_starts_anew(store: Store) -> None:
    [one, _] = live(store, {"one": 20, "two": 0})
    assert hold_back_leaving((), (), store, AT_ONCE, accepted=False)
    assert not is_held(store, one, range(20), AT_ONCE)
    assert hold_back_leaving((), (), store, AT_ONCE, accepted=False)


def test_another_name_for_the_directory_is_no_loss_nor_is_an_unusable_record(store: Store) -> None:
    live(store, {"one": 20})
    assert not hold_back_leaving([a_repo("new", "one")], (), store, LATER, accepted=False)
    assert not hold_back_leaving((), ["one"], store, LATER, accepted=False)
