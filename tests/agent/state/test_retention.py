"""How long earlier indexes stay: the rules by themselves, and with the files that publications share."""

import sqlite3
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_agent.model.changes import Retention
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import LiveFile, Retained
from packrat_agent.state.retention import Generation, choose_generations
from packrat_agent.state.store import Store
from support.generations import REPO, collect_garbage, publish, publish_files, publish_section
from support.remembered import remembered_files

HOUR_S = 3600.0
DAY_S = 86400.0
DEFAULT = Retention(HOUR_S, 3 * DAY_S, 3)

gaps = st.lists(st.one_of(st.floats(1, 90), st.floats(60, 7200), st.floats(3600, 200_000)), max_size=120)
rules = st.builds(
    Retention,
    st.one_of(st.just(0), st.integers(0, 7200)),
    st.one_of(st.just(0), st.integers(0, 400_000)),
    st.integers(0, 5),
)


def history(between: list[float]) -> list[Generation]:
    at, found = 1_800_000_000.0, []
    for generation, gap in enumerate(between, start=1):
        at += gap
        found.append(Generation(generation, at))
    return found


@settings(max_examples=300, deadline=None)
@given(gaps, rules, st.lists(st.floats(0, 50_000), min_size=1, max_size=8))
def test_the_retained_set_obeys_the_rules_at_every_moment(
    between: list[float], rule: Retention, waits: list[float]
) -> None:
    publications = history(between)
    dropped: set[int] = set()
    now = publications[-1].replaced_at if publications else 0.0
    for wait in waits:
        now += wait
        kept = choose_generations(publications, now, rule)
        generations = [old.number for old in publications]
        assert set(generations[max(0, len(generations) - rule.keep_generations) :]) <= kept
        assert {old.number for old in publications if now - old.replaced_at <= rule.index_s} <= kept
        assert not kept & dropped, "what was dropped once came back"
        dropped = set(generations) - kept
        late = [old for old in publications if old.number in kept and now - old.replaced_at > rule.index_s]
        late = late[: max(0, len(late) - rule.keep_generations)]
        assert all(now - old.replaced_at <= rule.packages_s for old in late)
        for doubling in range(40):
            low, high = rule.index_s * 2**doubling, rule.index_s * 2 ** (doubling + 1)
            assert sum(low < now - old.replaced_at <= high for old in late) <= 2


@settings(max_examples=100, deadline=None)
@given(gaps, rules, st.lists(st.floats(0, 9000), min_size=1, max_size=30))
@example([1.0, 75263.0, 103168.0, 198976.0], Retention(403, 206337, 0), [0.0, 7361.0])
@example([1.0, 7199.0, 3600.0, 53014.0, 62654.0, 197.0], Retention(1, 121497, 0), [0.0, 0.0])
def test_dropping_as_time_goes_by_loses_nothing_that_dropping_at_once_keeps(
    between: list[float], rule: Retention, waits: list[float]
) -> None:
    everything, left = history(between), history(between)
    now = everything[-1].replaced_at if everything else 0.0
    for wait in waits:
        now += wait
        kept = choose_generations(left, now, rule)
        # Where the oldest of a bucket has expired and is forgotten, the next one may stay in its place.
        assert choose_generations(everything, now, rule) <= kept
        left = [old for old in left if old.number in kept]
        late = [now - old.replaced_at for old in left[: max(0, len(left) - rule.keep_generations)]]
        for doubling in range(40):
            low, high = rule.index_s * 2**doubling, rule.index_s * 2 ** (doubling + 1)
            assert sum(low < age_s <= high for age_s in late) <= 2


def test_the_first_generation_replaced_within_a_span_stays() -> None:
    publications = history([61.0, 1.0, 1.0])
    assert choose_generations(publications[::-1], publications[0].replaced_at + 100, Retention(60, 10_000, 0)) == {1}


def test_a_publication_a_minute_leaves_an_hour_and_a_few() -> None:
    publications = history([60.0] * 4320)
    kept = choose_generations(publications, publications[-1].replaced_at, DEFAULT)
    # 61 of the last hour, and at most two for each of one to two hours, two to four, and so on.
    assert 61 < len(kept) <= 61 + 14


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(1, 90), st.floats(60, 90_000)), st.sets(st.integers(0, 9), min_size=1), st.booleans()
        ),
        min_size=1,
        max_size=25,
    ),
    rules,
)
@example([(1.0, {0}, True), (1.0, {0}, False), (5.0, {0}, False)], Retention(1, 5, 0))
def test_files_of_retained_publications_are_there(steps: list[tuple[float, set[int], bool]], rule: Retention) -> None:
    """Each publication names some files, new ones or those that earlier ones named; each withdraws a package file."""
    with TemporaryDirectory() as directory:
        store = Store(Path(directory) / "state.db")
        now = 1_800_000_000.0
        old: list[Generation] = []
        named: dict[int, set[str]] = {}
        packages: dict[int, str] = {}
        for generation, (gap, numbers, cut_off) in enumerate(steps, start=1):
            now += gap
            if generation > 1:
                old.append(Generation(generation - 1, now))
            names = {f"f{number}" for number in numbers} | {f"release{generation}"}
            package = packages[generation] = f"apt-dev/pool/{generation}"
            withdrawn = (packages[generation - 1],) if generation > 1 else ()
            if cut_off:
                # A crash before the publication was noted.
                store.live.begin(REPO.name, [LiveFile(f"apt-dev/cut{generation}", "s", "a" * 64, 1)])
            files = [LiveFile(f"apt-dev/{name}", "s", "a" * 64, 1) for name in sorted(names)]
            publish_files(store, now, [*files, LiveFile(package, "", "a" * 64, 1)], withdrawn)
            named[generation] = {f"apt-dev/{name}" for name in names}
            collect_garbage(store, now, rule)
            there = set(remembered_files(store))
            assert named[generation] <= there
            for kept in choose_generations(old, now, rule):
                assert named[kept] <= there, "an index on disk lacks a file of its own"
                assert packages[kept] in there, "an index on disk names a package file that is gone"
        everything = set(remembered_files(store))
        collect_garbage(store, now + 10 * DAY_S + rule.packages_s, Retention(0, 0, 0))
        assert set(remembered_files(store)) == named[generation] | {packages[generation]}, everything
        store.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def test_indexes_go_before_the_package_files_that_they_name(store: Store) -> None:
    first = [LiveFile("apt-dev/zzz/index", "s", "a" * 64, 1), LiveFile("apt-dev/pool/x", "", "b" * 64, 1)]
    publish_files(store, 1.0, first)
    publish(store, 2.0, ["index2"], ("apt-dev/pool/x",))
    assert collect_garbage(store, 1000.0, Retention(10, 10, 1)) == []
    publish(store, 1001.0, ["index3"])
    assert collect_garbage(store, 2000.0, Retention(10, 10, 1)) == ["apt-dev/zzz/index", "apt-dev/pool/x"]


def test_a_quiet_suite_holds_no_package_file_of_a_busy_one(store: Store) -> None:
    for number in range(3):
        publish_section(store, "quiet", float(number), [LiveFile(f"apt-dev/quiet{number}", "quiet", "a" * 64, 1)])
    for now in range(10, 20):
        files = [LiveFile(f"apt-dev/busy{now}", "s", "a" * 64, 1), LiveFile(f"apt-dev/pool/{now}", "", "a" * 64, 1)]
        publish_section(store, "s", float(now), files, (f"apt-dev/pool/{now - 1}",))
    collect_garbage(store, 1000.0, Retention(10, 10, 2))
    there = remembered_files(store)
    assert {"apt-dev/quiet0", "apt-dev/quiet1", "apt-dev/quiet2"} <= set(there)
    assert sorted(path for path in there if "pool" in path) == [f"apt-dev/pool/{now}" for now in (17, 18, 19)]


def test_a_link_to_package_files_and_a_former_directory_stay_as_long_as_package_files(store: Store) -> None:
    link = LiveFile("apt-dev/generations/1/x86_64", "s", "a" * 64, 9, retained=Retained.AS_PACKAGE)
    publish_files(store, 1.0, [link, LiveFile("apt-dev/repodata/1", "s", "a" * 64, 1)])
    publish(store, 2.0, ["repodata/2"])
    moved = Repo("apt-dev", "", "moved", "apt", ())
    publish(store, 3.0, ["repodata/3"], repo=moved)
    rule = Retention(0, 100, 0)
    assert collect_garbage(store, 3.5, rule) == ["apt-dev/repodata/1"]
    assert collect_garbage(store, 102.5, rule) == ["apt-dev/generations/1/x86_64"]
    assert collect_garbage(store, 103.5, rule) == ["apt-dev/repodata/2"]


def test_a_section_that_left_and_came_back_keeps_nothing_for_ever(store: Store) -> None:
    for now in range(5):
        publish(store, float(now), [f"index{now}"])
    store.live.drop_repo(REPO.name, 5.0)
    publish(store, 6.0, ["index6"])
    collect_garbage(store, 200.0, Retention(10, 100, 3))
    assert set(remembered_files(store)) == {"apt-dev/index6"}


def test_a_returned_file_is_kept_by_the_numbers_of_its_new_generations(store: Store) -> None:
    for now in range(9):
        publish(store, float(now), [f"index{now}"])
    store.live.drop_repo(REPO.name, 9.0)
    for now in range(10, 14):
        publish(store, float(now), [f"index{now}"])
    collect_garbage(store, 1000.0, Retention(10, 100, 2))
    assert sorted(remembered_files(store)) == [f"apt-dev/index{now}" for now in (11, 12, 13)]


def test_each_publication_of_each_repository_goes_by_its_own_generations(store: Store) -> None:
    other = Repo("other", "", "other", "apt", ())

    def go(name: str, now: int, repo: Repo) -> None:
        top = f"{repo.directory}/{name}"
        files = [
            LiveFile(f"{top}/index{now}", name, "a" * 64, 1),
            LiveFile(f"{top}/few{now}", name, "a" * 64, 1, retained=Retained.FEW_GENERATIONS),
            LiveFile(f"{top}/pool{now}", "", "a" * 64, 1),
        ]
        withdrawn = (f"{top}/pool{now - 1}",)
        publish_section(store, name, float(now), files, withdrawn, repo)

    for now in range(3):
        go("quiet", now, REPO)
    for now in range(10, 20):
        go("s", now, REPO)
    for now in range(10, 13):
        go("s", now, other)
    rule = Retention(10, 10, 2)
    assert store.generations.expired_indexes("other", 1000.0, rule) == []
    indexes = [f"apt-dev/s/{what}{now}" for what in ("few", "index") for now in range(10, 17)]
    assert store.generations.expired_indexes(REPO.name, 1000.0, rule) == indexes
    assert store.generations.expired(1000.0, rule) == [*indexes, *(f"apt-dev/s/pool{now}" for now in range(10, 17))]


def test_the_database_of_version_0_1_0_is_taken_over(tmp_path: Path) -> None:
    """A publication a minute for two hours, as 0.1.0 remembered it."""
    first = resources.files("packrat_agent.state") / "migrations" / "0001_first.sql"
    db = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    db.executescript(f"PRAGMA journal_mode = WAL; BEGIN; {first.read_text('utf-8')} PRAGMA user_version = 1; COMMIT;")
    count, started = 120, 1_800_000_000.0
    for generation in range(1, count + 1):
        withdrawn = (started + 60 * (generation + 1), generation + 1) if generation < count else (None, None)
        db.execute(
            "INSERT INTO live_files VALUES (?, 'apt-dev', 's', ?, 1, 1, 1, 0, 0, 1, ?, ?)",
            (f"apt-dev/index{generation:03}", "a" * 64, *withdrawn),
        )
    db.execute(
        "INSERT INTO live_files VALUES ('apt-dev/pool/x', 'apt-dev', '', ?, 1, 1, 1, 0, 0, 1, ?, 0)",
        ("b" * 64, started + 120),
    )
    db.execute(
        "INSERT INTO live_files VALUES ('gone/index', 'gone', 's', ?, 1, 1, 1, 0, 0, 1, ?, 7)", ("c" * 64, started)
    )
    db.execute("INSERT INTO sections VALUES ('apt-dev', 's', 'i', ?, '{}', ?)", (count, started + 60 * count))
    db.close()
    store = Store(tmp_path / "state.db")
    now = started + 60 * count
    gone = collect_garbage(store, now, DEFAULT)
    there = sorted(remembered_files(store))
    # The hour before is whole, and of the one before that a publication or two.
    hour = {f"apt-dev/index{generation:03}" for generation in range(count - 61, count + 1)}
    assert hour <= set(there)
    assert len([path for path in there if "index" in path]) <= len(hour) + 3
    assert {"apt-dev/pool/x", "gone/index"} <= set(there)
    assert len(gone) + len(there) == count + 2
    publish(store, now + 60, ["index999"])
    collect_garbage(store, now + 30 * DAY_S, DEFAULT)
    assert sorted(remembered_files(store)) == [
        *(f"apt-dev/index{generation:03}" for generation in range(count - 2, count + 1)),
        "apt-dev/index999",
    ]
