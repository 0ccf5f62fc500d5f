"""A slice of `make fuzz`, the same inputs each time: changed archives are read or refused."""

from pathlib import Path

from support.fuzz.lane import run_slice


def test_changed_archives_are_read_or_refused(tmp_path: Path) -> None:
    run_slice("archives", tmp_path, cases=1700)
