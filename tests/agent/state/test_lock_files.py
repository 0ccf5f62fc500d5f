"""lock_files: whatever stands beside a lock names a process or nobody."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from packrat_agent.state.lock_files import NamedHolder, holder_file, read_holder

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=5,
)
FIELDS = st.fixed_dictionaries(
    {"pid": ANY_JSON | st.just(7), "host": ANY_JSON | st.just("here")},
    optional={"command": ANY_JSON, "processes": ANY_JSON},
)


def write(directory: Path, content: bytes) -> Path:
    lock = directory / "lock"
    holder_file(lock).write_bytes(content)
    return lock


@given(FIELDS | ANY_JSON)
@example({"pid": float("inf"), "host": "here"})
@example({"pid": True, "host": "here"})
@example({"pid": 1 << 64, "host": "here"})
@example({"pid": 0, "host": "here"})
@example({"pid": 7, "host": "here"})
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_names_a_process_or_nobody(tmp_path: Path, said: Any) -> None:
    named = read_holder(write(tmp_path, json.dumps(said).encode()))
    is_sound = isinstance(said, dict) and type(said.get("pid")) is int and isinstance(said.get("host"), str)
    if is_sound and 0 < said["pid"] < 1 << 31:
        assert named is not None
        assert (named.pid, named.host) == (said["pid"], said["host"][:100])
    else:
        assert named is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 4000, b'{"pid": 1e999, "host": "x"}', b"1" * 4096], ids=len)
def test_what_is_no_json_names_nobody(tmp_path: Path, content: bytes) -> None:
    assert read_holder(write(tmp_path, content)) is None


def test_what_an_earlier_version_wrote_is_read(tmp_path: Path) -> None:
    said = {"pid": 7, "host": "here", "command": "run"}
    assert read_holder(write(tmp_path, json.dumps(said).encode())) == NamedHolder(7, "here", "run", "")


def test_no_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_holder(tmp_path / "lock")
