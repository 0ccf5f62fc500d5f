"""fs.open and fs.locks: only regular files are opened; a lock ends with its process."""

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from packrat_core.fs.flush import flush_files
from packrat_core.fs.locks import FileLock
from packrat_core.fs.open import open_new, open_regular, open_to_resume, read_given, read_regular

_LIMIT = 10


def _plant(kind: str, path: Path) -> None:
    if kind == "link":
        (path.parent / "victim").write_text("safe")
        path.symlink_to(path.parent / "victim")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_anything_but_a_regular_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    _plant(kind, planted)
    with pytest.raises(OSError, match=r"regular|symbolic|directory"):
        open_regular(planted)
    with pytest.raises(OSError, match=r"regular|symbolic|directory"):
        read_regular(planted, _LIMIT)
    with pytest.raises(Exception, match="can't flush"):
        flush_files([planted])


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "name"])
@pytest.mark.parametrize("opens", [open_to_resume, open_new])
def test_writes_reach_no_file_behind_a_planted_name(
    kind: str, opens: Callable[[Path], BinaryIO], tmp_path: Path
) -> None:
    planted = tmp_path / "planted"
    if kind == "name":
        (tmp_path / "victim").write_text("safe")
        planted.hardlink_to(tmp_path / "victim")
    else:
        _plant(kind, planted)
    with opens(planted) as file:
        file.write(b"mine")
    assert planted.read_bytes() == b"mine"
    assert not planted.is_symlink()
    if kind in ("link", "name"):
        assert (tmp_path / "victim").read_text() == "safe"


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_a_name_that_no_file_can_have_is_an_error_of_the_system(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="can't be the name of a file"):
        open_regular(tmp_path / name)


def test_a_file_is_read_up_to_the_limit_and_not_beyond(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * _LIMIT)
    assert read_regular(file, _LIMIT) == b"x" * _LIMIT
    file.write_bytes(b"x" * (_LIMIT + 1))
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_regular(file, _LIMIT)


def test_a_file_that_the_operator_names_may_be_a_link_or_the_shell_s_pipe(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").write_text("secret")
    assert read_given(tmp_path / "link", _LIMIT) == b"secret"
    assert read_given(Path("/dev/null"), _LIMIT) == b""
    reading, writing = os.pipe()
    os.write(writing, b"piped")
    os.close(writing)
    assert read_given(Path(f"/dev/fd/{reading}"), _LIMIT) == b"piped"
    os.close(reading)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("pipe", "is a named pipe"), ("directory", "is a directory"), ("device", "is a device"), ("endless", "is larger")],
)
def test_a_file_that_the_operator_names_is_read_to_an_end(kind: str, told: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    if kind == "device":
        planted.symlink_to("/dev/zero")
    elif kind == "endless":
        planted.write_bytes(b"x" * (_LIMIT + 1))
    else:
        _plant(kind, planted)
    with pytest.raises(OSError, match=told):
        read_given(planted, _LIMIT)


def test_a_small_file_takes_little_memory_whatever_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100_000)
    tracemalloc.start()
    try:
        assert read_regular(file, 1 << 30) == b"x" * 100_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_file_that_says_it_is_empty_is_read(tmp_path: Path) -> None:
    # As a file that grew after its size was asked for.
    assert read_regular(Path("/proc/self/status"), 1 << 20).startswith(b"Name:")
    with pytest.raises(OSError, match="larger than 10 bytes"):
        read_regular(Path("/proc/self/status"), _LIMIT)


def test_a_part_is_made_and_then_kept(tmp_path: Path) -> None:
    for content in (b"", b"abc"):
        with open_to_resume(tmp_path / "part") as file:
            assert file.read() == content
            file.seek(0)
            file.write(b"abc")


_HOLD = """
import sys
import tracemalloc
from pathlib import Path
from packrat_core.fs.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
assert lock.try_exclusive()
if sys.argv[2] == "share":
    lock.share()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["alone", "share"])
def test_a_lock_is_held_until_its_process_ends_however_it_ends(how: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with FileLock(path) as other:
            assert not other.try_exclusive()
            if how == "share":
                other.share()
        holder.kill()
    with FileLock(path) as next_one:
        assert next_one.try_exclusive()


def test_a_lock_file_is_never_opened_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        FileLock(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()
