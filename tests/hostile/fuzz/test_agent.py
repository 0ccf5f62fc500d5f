"""A slice of `make fuzz`, the same inputs each time: changed answers of a server are understood or told."""

from pathlib import Path

import pytest

from support.fuzz.lane import run_slice

pytestmark = pytest.mark.timeout(900)
"""A busy machine takes its time."""


def test_changed_answers_of_a_server_are_understood_or_told(tmp_path: Path) -> None:
    run_slice("agent", tmp_path, cases=150)
