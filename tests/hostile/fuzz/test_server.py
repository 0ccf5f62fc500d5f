"""A slice of `make fuzz`, the same inputs each time: changed requests are answered."""

from pathlib import Path

import pytest

from support.fuzz.lane import run_slice

pytestmark = pytest.mark.timeout(900)
"""A busy machine takes its time."""


def test_changed_requests_are_answered(tmp_path: Path) -> None:
    run_slice("server", tmp_path, cases=100)
