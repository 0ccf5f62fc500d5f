"""Moments and texts are written and judged the same, whichever way is taken for the usual ones."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_server.store.text import is_storable, write_moment

ZONES = st.none() | st.just(UTC) | st.integers(-900, 900).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moment=st.datetimes(timezones=ZONES), timespec=st.sampled_from(["microseconds", "seconds"]))
def test_a_moment_is_written_in_utc(moment: datetime, timespec: str) -> None:
    assert write_moment(moment, timespec) == moment.replace(tzinfo=UTC).isoformat(timespec=timespec)


def test_no_moment_is_written_as_none() -> None:
    assert write_moment(None) is None


@given(text=st.text(st.characters() | st.characters(categories=["Cs"]) | st.just("\0")))
def test_text_in_utf8_without_nul_is_storable(text: str) -> None:
    try:
        is_text = bool(text.encode()) or text == ""
    except UnicodeEncodeError:
        is_text = False
    assert is_storable(text) is (is_text and "\0" not in text)


@pytest.mark.parametrize("text", ["", "abc", "ä", "\ud7ff\ue000"])
def test_usual_texts_are_storable(text: str) -> None:
    assert is_storable(text)
