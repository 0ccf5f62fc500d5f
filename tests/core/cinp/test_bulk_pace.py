"""The pace of bulk work: as much as the server bears without getting slower, and little at once where it does."""

from hypothesis import given
from hypothesis import strategies as st

from packrat_core.cinp.bulk_pace import Answered, Pace

TIMES = st.floats(0.001, 60.0)


def answers(pace: Pace, *times_s: float, alone: bool = True, at_s: float = 0.0) -> Pace:
    """Let answers come one after the other."""
    for took_s in times_s:
        pace = pace.after(Answered(at_s, at_s + took_s, alone))
        at_s += took_s
    return pace


@given(st.integers(1, 8), st.lists(st.tuples(TIMES, st.booleans(), st.floats(0.0, 2000.0)), max_size=60))
def test_the_pace_stays_within_its_limits(most: int, given_answers: list[tuple[float, bool, float]]) -> None:
    pace, now_s = Pace(most), 0.0
    for took_s, alone, later_s in given_answers:
        now_s += later_s
        pace = pace.after(Answered(now_s - took_s, now_s, alone))
        assert 1 <= pace.at_once <= most
        assert 0 <= pace.rest_s <= 10
        assert pace.rest_s == 0 or pace.at_once == 1


@given(st.integers(1, 8), TIMES)
def test_a_server_that_keeps_its_pace_soon_gets_as_much_as_allowed(most: int, took_s: float) -> None:
    pace = answers(Pace(most), *[took_s] * (most - 1))
    assert pace.at_once == most


@given(st.integers(2, 8), st.floats(0.2, 20.0), st.floats(2.1, 10.0))
def test_an_answer_that_is_slow_halves_the_work(most: int, quiet_s: float, factor: float) -> None:
    pace = answers(Pace(most), *[quiet_s] * most)
    at_s = quiet_s * most
    slower = pace.after(Answered(at_s, at_s + quiet_s * factor, alone=False))
    assert slower.at_once == max(1, most // 2)
    # Those that were open together with it tell nothing new.
    assert slower.after(Answered(at_s, at_s + quiet_s * factor + 0.1, alone=False)).at_once == slower.at_once


def test_after_a_slow_request_the_next_waits_as_long() -> None:
    pace = answers(Pace(2), 0.5, 1.25)
    assert (pace.at_once, pace.rest_s) == (1, 0.0)
    pace = answers(pace, 1.25, at_s=2.0)
    assert (pace.at_once, pace.rest_s) == (1, 1.25)
    assert answers(pace, 60.0, at_s=4.0).rest_s == 10.0
    assert answers(pace, 0.5, at_s=4.0).rest_s == 0.0


def test_at_full_pace_answers_in_good_time_change_nothing_and_a_slow_one_still_halves_it() -> None:
    full = answers(Pace(4), *[1.0] * 4)
    beside = [Answered(4.0 + at, 5.0 + at, alone=False) for at in range(9)]
    pace = full
    for answer in beside:
        pace = pace.after(answer)
    assert pace.at_once == 4
    assert pace.after(Answered(13.0, 16.0, alone=False)).at_once == 2
    # The quiet time is forgotten all the same, though no answer of those beside each other tells a new one.
    assert pace.after(Answered(699.0, 700.0, alone=False)).at_once == 1


def test_after_a_slow_answer_each_step_up_takes_as_many_good_ones_as_are_open() -> None:
    pace = answers(Pace(4), 1.0, 1.0, 1.0, 3.0)
    steps = []
    for at in range(5):
        pace = answers(pace, 1.0, at_s=10.0 + at)
        steps.append(pace.at_once)
    assert steps == [2, 3, 3, 3, 4]


def test_a_trifle_is_not_slow() -> None:
    """A server that answers in two milliseconds may take ten times as long."""
    assert answers(Pace(4), 0.002, 0.02, 0.05, 0.1).at_once == 4


def test_the_pace_of_a_server_is_measured_again_after_a_quiet_time() -> None:
    pace = answers(Pace(3), 0.1, 0.1)
    assert pace.at_once == 3
    # Ten minutes later nobody knows what a quiet server would do.
    pace = answers(pace, 2.0, at_s=700.0, alone=False)
    assert pace.at_once == 1
    # It has become slower for good.
    assert answers(pace, 2.0, 2.0, at_s=710.0).at_once == 3


@given(st.integers(1, 4), st.floats(0.3, 5.0), st.integers(2, 8))
def test_a_server_with_few_processors_is_mostly_left_one(processors: int, work_s: float, most: int) -> None:
    """Simulated: with more requests than processors, each takes longer in proportion."""
    pace, now_s = Pace(most), 0.0
    open_at_once = []
    for _ in range(200):
        count = pace.at_once
        took_s = work_s * max(1.0, count / processors)
        for _ in range(count):
            pace = pace.after(Answered(now_s, now_s + took_s, alone=count == 1))
        now_s += took_s + pace.rest_s
        open_at_once.append(count)
    late = open_at_once[20:]
    # One and a half times as much work as the processors do at once is what it takes to notice.
    assert max(late) <= max(2, 1.5 * processors + 2)
    assert sum(late) / len(late) <= max(1.75, 1.5 * processors + 1)
