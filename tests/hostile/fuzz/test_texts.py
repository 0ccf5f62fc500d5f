"""A slice of `make fuzz`, the same inputs each time: mirror.conf and texts below root_dir are read or refused."""

from pathlib import Path

import pytest

from support.fuzz.lane import run_slice

pytestmark = pytest.mark.timeout(900)
"""A busy machine takes its time."""


def test_changed_texts_are_read_or_refused(tmp_path: Path) -> None:
    run_slice("texts", tmp_path, cases=2500)
