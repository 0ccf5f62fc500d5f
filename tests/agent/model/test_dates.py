"""Dates that clients compare only rise, and rendering takes its date from the request alone."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent import formats
from packrat_agent.model.dates import rising

FORMATS = sorted(Path(formats.__path__[0]).rglob("*.py"))


@given(st.lists(st.integers(0, 2**40), min_size=1))
def test_a_date_is_later_than_the_last_one_wherever_the_clock_goes(clock: list[int]) -> None:
    last: int | None = None
    for now in clock:
        date = rising(now, last)
        assert date >= now
        assert last is None or date > last
        last = date


def test_a_clock_that_is_ahead_of_the_last_date_is_believed() -> None:
    assert (rising(100, None), rising(100, 99), rising(100, 100), rising(100, 500)) == (100, 100, 101, 501)


@pytest.mark.parametrize("module", FORMATS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_format_reads_the_clock(module: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]
    called = {function.attr for function in calls if isinstance(function, ast.Attribute)}
    assert not called & {"now", "time", "time_ns", "today", "utcnow", "gmtime", "localtime"}
