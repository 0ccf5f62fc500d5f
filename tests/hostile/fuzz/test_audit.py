"""A slice of `make fuzz`, the same inputs each time: what changes in a tree is told by verify."""

from pathlib import Path

from support.fuzz.lane import run_slice


def test_what_changes_in_a_tree_is_told_by_verify(tmp_path: Path) -> None:
    run_slice("audit", tmp_path, cases=16)
