"""The mirror.conf of a test."""

from pathlib import Path

import pytest


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "mirror.conf"
    path.touch(0o600)
    return path
