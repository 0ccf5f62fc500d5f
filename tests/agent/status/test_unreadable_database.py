"""A state database that is missing, foreign, closed, or of another version is told in a sentence."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import resources

import pytest

from agent.status.bench import Bench
from packrat_agent.state.database import copy_database
from packrat_agent.state.store import Store
from packrat_core.errors import ConfigError, DiskError


def test_a_missing_state_database_is_reported_in_a_sentence(bench: Bench) -> None:
    bench.store.close()
    bench.config.mirror.state_db.unlink()
    with pytest.raises(ConfigError, match="no packrat-agent has worked with this configuration yet"):
        bench.read()


def test_an_empty_state_database_is_no_reason_for_a_takeover(bench: Bench) -> None:
    bench.store.close()
    bench.config.mirror.state_db.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"state.db is empty: .*; start the agent") as told:
        bench.read()
    assert "--adopt" not in str(told.value)
    Store(bench.config.mirror.state_db).close()
    bench.read()


def test_a_file_that_is_no_state_database_is_reported_in_a_sentence(bench: Bench) -> None:
    bench.store.close()
    bench.config.mirror.state_db.write_bytes(b"not a database" * 500)
    with pytest.raises(ConfigError, match=r"is not a state database of packrat-agent .*takes over what is there"):
        bench.read()


def test_a_damaged_state_database_is_to_be_moved_away(bench: Bench) -> None:
    bench.store.close()
    state_db = bench.config.mirror.state_db
    os.truncate(state_db, state_db.stat().st_size // 8)
    told = r"state\.db is damaged \(.*\); stop the agent and move it away"
    with pytest.raises(DiskError, match=told):
        bench.read()
    with pytest.raises(DiskError, match=told):
        copy_database(state_db, state_db.with_name("copy.db"))


@pytest.fixture
def old_schema(bench: Bench) -> Bench:
    """The state database of version 0.1.0, after the package was upgraded and before the agent was restarted."""
    bench.store.close()
    bench.config.mirror.state_db.unlink()
    first = resources.files("packrat_agent.state") / "migrations" / "0001_first.sql"
    with closing(sqlite3.connect(bench.config.mirror.state_db)) as db:
        db.executescript(f"BEGIN; {first.read_text('utf-8')} PRAGMA user_version = 1; COMMIT;")
    return bench


def _asked(bench: Bench, command: str) -> "subprocess.CompletedProcess[str]":
    config = bench.config.mirror.state_db.parents[1] / "mirror.conf"
    line = [sys.executable, "-m", "packrat_agent.cli", "--config", str(config), command]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_a_state_database_of_an_older_version_is_reported_until_the_agent_has_migrated_it(old_schema: Bench) -> None:
    state_db = old_schema.config.mirror.state_db
    before = state_db.read_bytes()
    status, check = _asked(old_schema, "status"), _asked(old_schema, "check")
    for said in (status.stderr, check.stdout):
        assert "is of an older packrat-agent (schema 1, this one reads " in said
        assert "start the agent, or restart it if it is running: it brings the database up to date" in said
    assert (status.returncode, status.stdout) == (2, "")
    assert (check.returncode, check.stdout.startswith("PACKRAT UNKNOWN - ")) == (3, True)
    assert state_db.read_bytes() == before
    Store(state_db).close()
    assert _asked(old_schema, "status").returncode == 0


def test_a_state_database_of_a_newer_version_is_reported(bench: Bench) -> None:
    with bench.store._db.transaction() as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(ConfigError, match=r"newer packrat-agent \(schema 999, .*upgrade packrat-agent"):
        bench.read()


def test_a_database_of_another_program_is_not_called_an_old_one(bench: Bench) -> None:
    bench.store.close()
    bench.config.mirror.state_db.unlink()
    with closing(sqlite3.connect(bench.config.mirror.state_db)) as db:
        db.executescript("CREATE TABLE settings (name, value); PRAGMA user_version = 1;")
    with pytest.raises(ConfigError, match="is not a state database of packrat-agent"):
        bench.read()


def test_a_state_database_that_may_not_be_read_is_reported_in_a_sentence(bench: Bench) -> None:
    bench.store.close()
    for path in bench.config.mirror.state_db.parent.iterdir():
        path.chmod(0)
    if os.geteuid() == 0:
        # Root reads all: ask as somebody else.
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            os._exit(_told_as_closed(bench))
        assert os.waitpid(child, 0)[1] == 0
    else:
        assert _told_as_closed(bench) == 0


def _told_as_closed(bench: Bench) -> int:
    try:
        bench.read()
    except DiskError as error:
        return 0 if "may not read" in str(error) else 2
    return 1
