"""A slice of `make fuzz`, the same inputs each time: what changes in a tree is told by verify."""

from pathlib import Path

import pytest

from support.fuzz.lane import run_slice

pytestmark = pytest.mark.timeout(900)
"""A busy machine takes its time."""


def test_what_changes_in_a_tree_is_told_by_verify(tmp_path: Path) -> None:
    run_slice("audit", tmp_path, cases=10)
