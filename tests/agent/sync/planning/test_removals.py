"""removals: what a server suddenly takes away stays until it says so again, or the operator does."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile, Repo, Wanted
from packrat_agent.state.facts import SteadyTime
from packrat_agent.state.removals import DAY_S
from packrat_agent.state.steady_clock import SteadyClock
from packrat_agent.state.store import Store
from packrat_agent.sync.planning.removals import (
    Missing,
    RemovalLimits,
    explain_held_back,
    hold_back_leaving,
    hold_back_removals,
)

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
    store.repos.save(repos)
    for repo in repos:
        wanted = offer(repo, range(files[repo.name]))
        store.wanted.remember_wanted(repo.name, wanted, None)
        entries = [Entry(file, file.file_name, Fragment(b"", "p", "1", "all", size=1)) for file in wanted.files]
        store.wanted.set_live(repo.name, entries)
    return repos


def uri_of(repo: Repo, number: int) -> str:
    return f"/{repo.name}/{number}"


def listed(
    store: Store,
    repo: Repo,
    left: Collection[int],
    limits: RemovalLimits,
    *,
    accepted: bool = False,
    accounted: Collection[int] = (),
) -> set[int]:
    """What stays in the index after a listing; it is remembered."""
    wanted = offer(repo, left)
    missing = Missing(store.wanted.lost(repo.name, wanted.uris), {uri_of(repo, number) for number in accounted})
    kept = hold_back_removals(repo, wanted, missing, store, limits, accepted=accepted)
    store.wanted.remember_wanted(repo.name, kept, None)
    files = store.wanted.known(repo.name, None).values()
    store.wanted.set_live(repo.name, [Entry(file, "x", Fragment(b"", "p", "1", "all", size=1)) for file in files])
    return {int(file.package[1:]) for file in files}


def is_held(store: Store, repo: Repo, left: Collection[int], limits: RemovalLimits, *, accepted: bool = False) -> bool:
    before = store.wanted.live_count(repo.name)
    stays = listed(store, repo, left, limits, accepted=accepted)
    reason = explain_held_back(repo, store)
    assert (reason is not None) == (stays != set(left))
    if reason is not None:
        assert len(stays) == before, "all or nothing"
        assert "--accept-removals" in reason
    return reason is not None


@dataclass(slots=True)
class Clocks:
    """Clocks that a test sets."""

    boot: str = "one"
    running: float = 1000.0
    wall: float = 1_800_000_000.0

    def read(self) -> SteadyTime:
        return SteadyTime(None, self.boot, self.running, self.wall)

    def of(self, store: Store) -> "Clocks":
        """Set the clock of a store."""
        store.removals.clock = SteadyClock(store.facts, self.read)
        return self

    def pass_s(self, seconds: float) -> None:
        self.running += seconds
        self.wall += seconds


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


def test_few_files_that_all_give_way_to_others_go_at_once(store: Store) -> None:
    [repo] = live(store, {"one": 9})
    assert listed(store, repo, range(100, 109), LATER) == {*range(100, 109)}


@pytest.mark.parametrize(("others", "held"), [(1, False), (0, True)])
def test_an_empty_answer_about_some_packages_is_no_empty_repository(store: Store, others: int, held: bool) -> None:
    [repo] = live(store, {"one": 1 + others})
    asked = Missing([uri_of(repo, 0)], ())
    kept = hold_back_removals(repo, offer(repo, ()), asked, store, LATER, accepted=False)
    assert [*kept.uris] == ([uri_of(repo, 0)] if held else [])


def test_a_held_removal_happens_when_repeated_later_or_accepted(store: Store) -> None:
    [repo] = live(store, {"one": 20})
    assert is_held(store, repo, (), AT_ONCE)
    assert is_held(store, repo, (), LATER)
    assert not is_held(store, repo, (), AT_ONCE)
    assert not is_held(store, repo, range(20), LATER)
    assert is_held(store, repo, (), LATER)
    assert not is_held(store, repo, (), LATER, accepted=True)


def test_a_server_that_comes_to_its_senses_starts_again(store: Store) -> None:
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
    assert sorted(held.repo for held in hold_back_leaving(repos, (), store, LATER, accepted=False)) == sorted(staying)


def test_no_files_are_counted_where_no_repository_leaves(store: Store) -> None:
    repos = live(store, {"one": 20, "two": 20})
    asked: list[str] = []
    store._db._connection.set_trace_callback(asked.append)
    assert not hold_back_leaving(repos, (), store, LATER, accepted=False)
    assert [statement for statement in asked if "FROM files" in statement] == []


def test_repositories_that_stay_go_when_it_is_said_again_later_or_is_accepted(store: Store) -> None:
    live(store, {"one": 20, "two": 20})
    assert len(hold_back_leaving((), (), store, AT_ONCE, accepted=False)) == 2
    assert hold_back_leaving((), (), store, LATER, accepted=False)
    assert not hold_back_leaving((), (), store, LATER, accepted=True)
    assert hold_back_leaving((), (), store, LATER, accepted=False)
    assert not hold_back_leaving((), (), store, AT_ONCE, accepted=False)


def test_a_repository_that_came_back_starts_again(store: Store) -> None:
    repos = live(store, {"one": 20, "two": 0})
    assert hold_back_leaving((), (), store, AT_ONCE, accepted=False)
    assert not hold_back_leaving(repos, (), store, AT_ONCE, accepted=False)
    assert hold_back_leaving((), (), store, AT_ONCE, accepted=False)


def test_another_name_for_the_directory_is_no_loss_nor_is_an_unusable_record(store: Store) -> None:
    live(store, {"one": 20})
    assert not hold_back_leaving([a_repo("new", "one")], (), store, LATER, accepted=False)
    assert not hold_back_leaving((), ["one"], store, LATER, accepted=False)


def test_small_steps_count_together_for_a_day(store: Store) -> None:
    [repo] = live(store, {"one": 100})
    clocks = Clocks().of(store)
    assert not is_held(store, repo, range(70), LATER)
    clocks.pass_s(2)
    assert not is_held(store, repo, range(50), LATER)
    clocks.pass_s(2)
    assert is_held(store, repo, range(49), LATER)
    clocks.pass_s(DAY_S - 4)
    assert not is_held(store, repo, range(49), RemovalLimits(50, 10 * DAY_S)), "the first thirty went a day ago"


def test_a_restart_and_a_wrong_clock_change_nothing(store: Store, tmp_path: Path) -> None:
    [repo] = live(store, {"one": 100})
    clocks = Clocks().of(store)
    assert not is_held(store, repo, range(50), LATER)
    store.close()
    store = Store(tmp_path / "state.db")
    clocks.of(store)
    for wrong_by in (400 * DAY_S, -800 * DAY_S):
        clocks.wall += wrong_by
        assert is_held(store, repo, range(25), LATER)
    # Where the machine was off, the time of day counts, if it goes forward.
    clocks.boot, clocks.running = "two", 5.0
    clocks.wall -= DAY_S
    assert is_held(store, repo, range(25), LATER)
    clocks.boot = "three"
    clocks.wall += DAY_S
    assert not is_held(store, repo, range(25), LATER), "it was said a day ago"


def test_files_that_come_back_do_not_count_as_removed(store: Store) -> None:
    [repo] = live(store, {"one": 100})
    for _ in range(5):
        assert not is_held(store, repo, range(50), LATER)
        assert not is_held(store, repo, range(100), LATER)


def test_removals_that_the_server_accounts_for_go_at_once_and_count_nowhere(store: Store) -> None:
    [repo] = live(store, {"one": 100})
    assert listed(store, repo, range(90, 100), LATER, accounted=range(90)) == set(range(90, 100))
    assert explain_held_back(repo, store) is None
    assert not is_held(store, repo, range(95, 100), LATER), "five are few"
    assert listed(store, repo, (), LATER, accounted=range(95, 99)) == {99}, "the last one is not accounted for"
    assert "offers nothing" in (explain_held_back(repo, store) or "")


def test_while_some_is_held_the_rest_goes_and_comes(store: Store) -> None:
    [repo] = live(store, {"one": 20})
    offered = {*range(8), 30}
    assert listed(store, repo, offered, LATER) == {*range(20), 30}
    assert listed(store, repo, {30}, LATER, accounted=range(8)) == {*range(8, 20), 30}


def test_held_back_files_stay_yanked(store: Store) -> None:
    [repo] = live(store, {"one": 20})
    everything = replace(offer(repo, range(20)), yanked={uri_of(repo, 3), uri_of(repo, 19)})
    store.wanted.remember_wanted(repo.name, everything, None)
    answer = replace(offer(repo, range(5)), yanked={uri_of(repo, 4)})
    missing = Missing(store.wanted.lost(repo.name, answer.uris), ())
    kept = hold_back_removals(repo, answer, missing, store, LATER, accepted=False)
    store.wanted.remember_wanted(repo.name, kept, None)
    marked = {file.uri for file in store.wanted.known(repo.name, None).values() if file.yanked}
    assert marked == {uri_of(repo, 4), uri_of(repo, 19)}


def test_many_small_repositories_count_together(store: Store) -> None:
    repos = live(store, {f"r{number}": 9 for number in range(10)})
    held = [is_held(store, repo, [0], LATER) for repo in repos]
    assert held == [False] * 5 + [True] * 5


def test_repositories_that_leave_one_after_the_other_count_together(store: Store) -> None:
    repos = live(store, {f"r{number}": 10 for number in range(10)})
    for count in (9, 8, 7, 6, 5):
        assert not hold_back_leaving(repos[:count], (), store, LATER, accepted=False)
        store.repos.save(repos[:count])
    [leaving] = hold_back_leaving(repos[:4], (), store, LATER, accepted=False)
    assert leaving.repo == "r4"
    assert not hold_back_leaving(repos[:4], (), store, AT_ONCE, accepted=False), "it was said again"


NUMBERS = st.frozensets(st.integers(0, 29))
STEPS = st.lists(st.tuples(NUMBERS, NUMBERS, st.floats(0, 2 * DAY_S), st.booleans()), max_size=12)


@settings(deadline=None, max_examples=50)
@given(STEPS, st.integers(0, 100))
def test_no_sequence_of_listings_takes_more_than_may_go(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[frozenset[int], frozenset[int], float, bool]], most: int
) -> None:
    store = Store(tmp_path_factory.mktemp("state") / "state.db")
    [repo] = live(store, {"one": 30})
    clocks, stays, went = Clocks().of(store), set(range(30)), dict[int, float]()
    limits = RemovalLimits(most, 10_000 * DAY_S)
    for offered, accounted, wait_s, jump in steps:
        clocks.pass_s(wait_s)
        clocks.wall += 10 * DAY_S if jump else 0
        before, stays = stays, listed(store, repo, offered, limits, accounted=accounted)
        assert offered <= stays <= offered | before
        assert not (accounted & stays) - offered, "what is accounted for is never held"
        gone = before - stays - accounted
        went = {number: at for number, at in went.items() if clocks.running - at < DAY_S and number not in stays}
        went |= dict.fromkeys(gone, clocks.running)
        if gone:
            of = len(before) + len(went.keys() - before)
            assert len(went) < 10 or len(went) * 100 <= of * most
            assert stays
    store.close()
