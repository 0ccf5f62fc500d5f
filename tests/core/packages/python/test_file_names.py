"""What the name of a file says of the Python distribution in it."""

import pytest

from packrat_core.packages.python.file_names import is_outdated


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tool-1.0.tgz", True),
        ("tool-v1.0.tar.bz2", True),
        ("tool-1.0-py3.11.egg", True),
        # An ending alone doesn't make a distribution: these may be any archive.
        ("backup.tgz", False),
        ("my_tool_1.0.tgz", False),
        ("tool--1.0.tgz", False),
        ("tool-1.0.tar.gz", False),
        ("tool-1.0.bin", False),
    ],
)
def test_outdated_kinds_are_known_by_ending_and_version(name: str, expected: bool) -> None:
    assert is_outdated(name) is expected
