"""That the state database can't be written is told without a write, by the agent at work alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from packrat_agent.state.lock_files import holder_file, lock_file
from packrat_agent.state.unwritten import UnwrittenMark, is_unwritten

_SET_AND_WAIT = """
import sys
from pathlib import Path
from packrat_agent.state.unwritten import UnwrittenMark
mark = UnwrittenMark(Path(sys.argv[1]))
mark.set()
print("set", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def state_db(tmp_path: Path) -> Path:
    made = tmp_path / "state.db"
    holder_file(lock_file(made)).write_text("{}")
    return made


def test_the_files_stand_beside_the_database() -> None:
    database = Path("/var/lib/mirror/state.db")
    assert lock_file(database) == Path("/var/lib/mirror/state.db.lock")
    assert holder_file(lock_file(database)) == Path("/var/lib/mirror/state.db.lock.holder")


def test_the_database_counts_as_unwritten_until_the_mark_is_cleared(state_db: Path) -> None:
    mark = UnwrittenMark(state_db)
    mark.clear()
    assert not is_unwritten(state_db)
    mark.set()
    # A fault that lasts is told again each time.
    mark.set()
    assert is_unwritten(state_db)
    mark.clear()
    assert not is_unwritten(state_db)
    mark.set()
    assert is_unwritten(state_db)
    mark.clear()


def test_the_mark_ends_with_its_process_however_that_ends(state_db: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SET_AND_WAIT, str(state_db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "set\n"
        assert is_unwritten(state_db)
        process.kill()
        process.wait(60)
        assert not is_unwritten(state_db)


def test_without_a_file_to_lock_the_agent_goes_on_and_tells_later(state_db: Path) -> None:
    holder = holder_file(lock_file(state_db))
    holder.unlink()
    mark = UnwrittenMark(state_db)
    mark.set()
    assert not holder.exists()
    assert not is_unwritten(state_db)
    holder.write_text("{}")
    mark.set()
    assert is_unwritten(state_db)
    mark.clear()


def test_no_link_in_its_place_is_locked(state_db: Path, tmp_path: Path) -> None:
    holder = holder_file(lock_file(state_db))
    (other := tmp_path / "other").write_text("")
    holder.unlink()
    holder.symlink_to(other)
    mark = UnwrittenMark(state_db)
    mark.set()
    assert not is_unwritten(state_db)
    mark.clear()
