"""How long a busy server asks its clients to wait: both forms, within bounds, and nothing of nonsense."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_core.cinp.retry_after import LONGEST_WAIT_S, read_retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DATE = "Sun, 01 Mar 2026 12:00:00 GMT"


def read(value: str | None, date: str | None = None) -> float | None:
    return read_retry_after(value, date, NOW.timestamp())


@given(st.integers(1, 300))
def test_a_wait_in_seconds_is_read(seconds: int) -> None:
    assert read(str(seconds)) == read(f" {seconds} ") == seconds


@given(st.integers(1, 300))
def test_a_wait_until_a_date_is_read(seconds: int) -> None:
    assert read(format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)) == seconds


@pytest.mark.parametrize(
    "value", ["Sun, 01 Mar 2026 12:00:30 GMT", "Sunday, 01-Mar-26 12:00:30 GMT", "Sun Mar  1 12:00:30 2026"]
)
def test_each_form_of_a_date(value: str) -> None:
    assert read(value) == 30


def test_a_date_counts_from_the_servers_own_clock() -> None:
    late = "Sun, 01 Mar 2026 15:00:30 GMT"
    assert read(late, "Sun, 01 Mar 2026 15:00:00 GMT") == 30
    assert read(late, "yesterday") == LONGEST_WAIT_S
    assert read(DATE, DATE) is None


@pytest.mark.parametrize("value", ["301", "9" * 12, "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_is_never_longer_than_the_limit(value: str) -> None:
    assert read(value) == LONGEST_WAIT_S


def test_at_once_is_a_second_later() -> None:
    assert read("0") == 1


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", " ", "-1", "+5", "1.5", "1e3", "5s", "0x10", "٥", "NaN", "inf", "5, 10", "soon", "\x00"),
        *("Sun, 01 Mar 2026 11:00:00 GMT", "Sun, 99 Mar 2026 12:00:30 GMT", "2026-03-01T12:00:30Z", "Sun, " * 999),
        *("Sun, 01 Mar 0000 12:00:30 GMT", "Sun, 01 Mar 2026", "Sun, 01 Mar 2026 12:00:30 +99999999"),
    ],
)
def test_nonsense_and_the_past_are_ignored(value: str | None) -> None:
    assert read(value) is None


@given(
    st.text(max_size=80) | st.from_regex(r"(Sun|Mon), \d{1,3} \w{3} \d{1,6} [\d:]{0,12}( GMT| [+-]\d{4})?"), st.text()
)
def test_whatever_it_is_the_wait_is_within_bounds(value: str, date: str) -> None:
    wait_s = read(value, date)
    assert wait_s is None or 1 <= wait_s <= LONGEST_WAIT_S
