"""Another user of the host reads nothing of agent and server but what is published: what can be read can be locked."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from packrat_agent.state.database import connect
from packrat_demo.build_deb import Deb
from packrat_server.admin.new_server import init
from support.evil import victim

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

_AS_NOBODY = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--")
# Takes both kinds of locks that the agent uses, on all of a file, and keeps them until its input ends.
_LOCK = """
import fcntl, sys
opened = []
for path in sys.argv[1:]:
    try:
        opened.append(open(path, "rb"))
    except PermissionError:
        continue
    fcntl.flock(opened[-1], fcntl.LOCK_EX)
    fcntl.lockf(opened[-1], fcntl.LOCK_SH)
print(len(opened), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach, as those are in which an agent keeps its state without a closed one."""
    directory = Path(tempfile.mkdtemp(prefix="lu-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("was_open", [False, True], ids=["new", "of an earlier version"])
def test_another_user_of_the_host_can_not_lock_the_agent_out(place: Path, was_open: bool) -> None:
    with victim(place) as mirror, ExitStack() as held:
        assert mirror.sync().code == 0
        state = place / "state"
        assert state.stat().st_mode & 0o005 == 0o005
        if was_open:
            for name in ("state.db", "state.db.lock"):
                (state / name).chmod(0o644)
            assert mirror.sync().code == 0
        files = [str(path) for path in state.iterdir() if path.is_file()]
        assert {"state.db", "state.db.lock"} <= {Path(path).name for path in files}
        other = held.enter_context(
            subprocess.Popen(
                [*_AS_NOBODY, "/usr/bin/python3", "-c", _LOCK, *files],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "0\n"
        mirror.evil.add("2", Deb("more", "1", "all"))
        ended = mirror.sync()
        assert ended.code == 0, ended.said
        assert (mirror.www / "apt-dev/pool/more/more_1_all.deb").exists()


def test_a_state_database_behind_a_link_is_closed_too(tmp_path: Path) -> None:
    link, path = tmp_path / "state.db", tmp_path / "disk/state.db"
    path.parent.mkdir()
    link.symlink_to(path)
    before = os.umask(0o022)
    try:
        connect(link).close()
        assert path.stat().st_mode & 0o777 == 0o640
        # What a crash of an earlier version left beside it.
        with closing(sqlite3.connect(path)) as db:
            path.chmod(0o644)
            db.execute("CREATE TABLE extra (a)")
            beside = path.with_name("state.db-wal")
            beside.chmod(0o644)
            connect(link).close()
            assert beside.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_another_user_of_the_host_reads_nothing_of_a_new_packrat_server(place: Path) -> None:
    data, before = place / "server", os.umask(0o022)
    try:
        init(data, None)
    finally:
        os.umask(before)
    for path in (data, data / "files", data / "incoming", data / "packrat.db"):
        listed = subprocess.run([*_AS_NOBODY, "ls", str(path)], capture_output=True, text=True, check=False)
        assert "Permission denied" in listed.stderr
        assert path.stat().st_mode & 0o007 == 0
