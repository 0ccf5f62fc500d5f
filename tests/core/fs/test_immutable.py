"""fixed: of a file that not even root may change, the message names the attribute and the command that removes it."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packrat_core.errors import DiskError
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.immutable import explain_immutable
from packrat_core.fs.ownership import explain_unmakable, explain_unwritable

Change = Callable[[Path], object]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory with a file in it, on a filesystem that has these attributes."""
    (tmp_path / "file").write_text("x")
    if subprocess.run(["chattr", "+i", str(tmp_path / "file")], capture_output=True, check=False).returncode:
        pytest.skip("needs root, and a filesystem with attributes")
    subprocess.run(["chattr", "-i", str(tmp_path / "file")], check=True)
    yield tmp_path
    subprocess.run(["chattr", "-R", "-i", "-a", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("attribute", "name", "fixed", "change"),
    [
        ("i", "immutable", "file", lambda place: (place / "file").unlink()),
        ("i", "immutable", "file", lambda place: (place / "file").chmod(0o600)),
        ("i", "immutable", ".", lambda place: (place / "file").unlink()),
        ("a", "append-only", "file", lambda place: (place / "file").unlink()),
        ("a", "append-only", ".", lambda place: (place / "file").unlink()),
    ],
)
def test_the_command_that_the_message_names_lifts_the_attribute(
    place: Path, attribute: str, name: str, fixed: str, change: Change
) -> None:
    subprocess.run(["chattr", f"+{attribute}", str(place / fixed)], check=True)
    with pytest.raises(DiskError) as refused, as_disk_error("change", place / "file"):
        change(place)
    assert f"{place / fixed} has the attribute {name}" in refused.value.hint
    command = re.search(r"`([^`]+)`", refused.value.hint)
    assert command is not None
    subprocess.run(["sh", "-ec", command[1]], check=True)
    change(place)


def test_immutable_directories_are_found_before_a_write(place: Path) -> None:
    subprocess.run(["chattr", "+i", str(place)], check=True)
    told = f"{place} has the attribute immutable; as root: `chattr -i {place}`"
    assert explain_unwritable(place) == told
    assert explain_unmakable(place / "deep/www") == told


def test_only_regular_files_are_looked_at_for_attributes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    assert explain_immutable(tmp_path / "pipe", tmp_path / "link", tmp_path / "missing", Path("/dev/null")) is None
