"""A slice of `make fuzz`, the same inputs each time: changed requests are answered."""

from pathlib import Path

from support.fuzz.lane import run_slice


def test_changed_requests_are_answered(tmp_path: Path) -> None:
    run_slice("server", tmp_path, cases=110)
