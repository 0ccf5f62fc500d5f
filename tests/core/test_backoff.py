"""Back-off: delays stay within their limits, grow with each failure, and never undercut what the server asks for."""

from hypothesis import given
from hypothesis import strategies as st

from packrat_core.backoff import BackOff, between, lengthen

_SECONDS = st.floats(0.001, 10_000)
_FAILURES = st.integers(-1, 10_000)


@given(_SECONDS, _SECONDS, _FAILURES, st.floats(0, 10_000))
def test_a_delay_stays_within_its_limits(first_s: float, more_s: float, failures: int, asked_s: float) -> None:
    back_off = BackOff(first_s, first_s + more_s)
    delay_s = back_off.delay_s(failures, asked_s)
    assert delay_s >= max(first_s / 2, asked_s)
    assert delay_s <= max(first_s + more_s, asked_s * 1.1)


@given(_SECONDS, st.integers(1, 40))
def test_the_delay_doubles_up_to_its_limit(first_s: float, failures: int) -> None:
    back_off = BackOff(first_s, first_s * 2.0**50)
    full_s = first_s * 2.0 ** (failures - 1)
    assert full_s / 2 <= back_off.delay_s(failures) <= full_s
    assert BackOff(first_s, full_s).delay_s(failures + 1) <= full_s


@given(st.floats(1.0, 1000))
def test_two_that_failed_together_come_back_apart(first_s: float) -> None:
    back_off = BackOff(first_s, first_s * 8)
    assert len({back_off.delay_s(2) for _ in range(20)}) > 1
    assert len({back_off.delay_s(1, first_s * 100) for _ in range(20)}) > 1


@given(_SECONDS, _SECONDS)
def test_a_delay_is_between_its_limits(shortest_s: float, more_s: float) -> None:
    assert shortest_s <= between(shortest_s, shortest_s + more_s) <= shortest_s + more_s
    assert shortest_s <= lengthen(shortest_s) <= shortest_s * 1.11
