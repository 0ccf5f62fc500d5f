"""A slice of `make fuzz`, the same inputs each time: what changes in a tree is told by verify."""

from pathlib import Path

import pytest

from support.fuzz.lane import run_slice

pytestmark = pytest.mark.timeout(900)
"""A busy machine takes its time."""


def test_verify_reports_each_change_of_a_tree(tmp_path: Path) -> None:
    run_slice("audit", tmp_path, cases=10)
