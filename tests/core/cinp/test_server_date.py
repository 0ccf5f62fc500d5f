"""The date of an answer, compared with this host's clock."""

import pytest

from packrat_core.cinp.server_date import measure_ahead, read_date

DATE = read_date({"Date": "Fri, 27 Nov 2026 17:00:00 GMT"})
assert DATE is not None
AT = DATE.timestamp()


@pytest.mark.parametrize(
    ("sent", "received", "ahead_s"),
    [
        (0.0, 0.1, 0.0),
        # A date of 17:00:00 is given until 17:00:01.
        (0.9, 1.5, 0.0),
        # The answer may have waited on the way, or the server may have taken its time.
        (-600.0, 0.0, 0.0),
        (-1.0, 600.0, 0.0),
        (86401.0, 86402.0, 86400.0),
        (-3601.0, -3600.0, -3600.0),
    ],
)
def test_a_date_between_question_and_answer_agrees(sent: float, received: float, ahead_s: float) -> None:
    assert measure_ahead(AT + sent, AT + received, DATE) == pytest.approx(ahead_s)


def test_an_answer_without_a_date_says_nothing() -> None:
    assert measure_ahead(AT, AT, read_date({})) is None
