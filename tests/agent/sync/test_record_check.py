"""Which known records are read again: a restored server is always noticed, and each record is read once a day."""

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.sync.record_check import DAY_S, choose_records, count_due, find_newest

NOW = 1_800_000_000.0
AGES = st.lists(st.floats(-5 * DAY_S, 5 * DAY_S), max_size=60)


def uri(number: int) -> str:
    return f"/api/v2/Package/PackageFile:{number}:"


def chosen(ages_s: Sequence[float]) -> list[str]:
    dates = {uri(number): NOW - age_s for number, age_s in enumerate(ages_s)}
    return choose_records(dates, NOW, random.Random(1))


@given(st.lists(st.integers(1, 10**9), min_size=1, unique=True))
def test_the_newest_is_the_one_with_the_highest_number(numbers: list[int]) -> None:
    assert find_newest([uri(number) for number in numbers]) == uri(max(numbers))


@given(st.integers(1, 300), st.integers(0, 299))
def test_a_restored_server_is_noticed_by_the_newest_record_alone(count: int, seed: int) -> None:
    """A backup takes the highest numbers away, down to any, and they are given out again."""
    dates = {uri(number): NOW - 60 for number in range(1, count + 1)}
    assert uri(count) in choose_records(dates, NOW, random.Random(seed))


@given(AGES)
def test_records_not_read_for_a_day_are_checked(ages_s: list[float]) -> None:
    # As old as the dates say: an age of less than they can tell is none.
    told = [NOW - (NOW - age_s) for age_s in ages_s]
    old = {uri(number) for number, age_s in enumerate(told) if age_s > DAY_S or age_s < 0}
    assert old <= set(chosen(ages_s))


@given(AGES)
def test_only_known_records_are_chosen_and_each_once(ages_s: list[float]) -> None:
    found = chosen(ages_s)
    assert len(set(found)) == len(found)
    assert set(found) <= {uri(number) for number in range(len(ages_s))}
    assert bool(found) == bool(ages_s)


def test_right_after_all_were_read_only_a_sample_is() -> None:
    assert len(chosen([60.0] * 20_000)) <= 40


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.sampled_from([900.0, 3600.0, 20_000.0, 200_000.0]), st.integers(0, 5))
def test_reading_is_spread_over_the_day(count: int, interval_s: float, away: int) -> None:
    read_at, now = [NOW] * count, NOW
    most = int(count * min(interval_s, DAY_S) / DAY_S) + 1
    for turn in range(120):
        # Now and then the agent is stopped for a while.
        now += interval_s * (away + 1 if turn % 40 == 39 else 1)
        due = count_due(read_at, now)
        if turn % 40 != 39:
            assert due <= most
        oldest_first = sorted(range(count), key=lambda number: read_at[number])
        for number in oldest_first[:due]:
            read_at[number] = now
        assert now - min(read_at) <= DAY_S + 1


def test_records_read_for_another_reason_count() -> None:
    """Syncs read half of them in the last half of a day, so nothing is due; a quarter of a day later, a quarter is."""
    ages_s = [DAY_S * number / 1000 for number in range(1, 501)] + [DAY_S / 2] * 500
    assert count_due([NOW - age_s + 1 for age_s in ages_s], NOW) == 0
    assert count_due([NOW - age_s - DAY_S / 4 for age_s in ages_s], NOW) in (250, 251)
