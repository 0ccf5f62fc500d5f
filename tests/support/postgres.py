"""A PostgreSQL server for tests: a cluster of its own in a temporary directory, on a Unix socket only."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg

WITH_PASSWORD = "careful"
"""The role that is asked for a password; it is not there at first."""

_STRANGER = "no-such-role-of-packrat"
"""The role as which the server looks whether everybody is refused; it is asked for a password, too."""
_DEADLINE_S = 60
# Sorted as people do: a server that left the order to the database would be found out. Nobody's data need last.
_INITDB = (
    *("--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"),
    *("--auth=trust", "--username=postgres"),
)
_SETTINGS = (
    *("fsync=off", "full_page_writes=off", "listen_addresses=", "max_connections=200"),
    *("timezone=Pacific/Auckland", "lc_messages=C"),
)


@dataclass(slots=True)
class Cluster:
    """A cluster; its server can be stopped and started."""

    directory: Path
    _process: "subprocess.Popen[bytes] | None" = None
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The URL of a database."""
        return f"postgresql://{user}@/{database}?host={self.directory}"

    def new_database(self, options: str = "") -> str:
        """Make an empty database; gives its URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        return self.url(name)

    def execute(self, statement: str, url: str = "") -> None:
        """Execute one statement."""
        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        settings = [
            part for setting in (*_SETTINGS, f"unix_socket_directories={self.directory}") for part in ("-c", setting)
        ]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _unprivileged("postgres", "-D", str(self.directory / "data"), *settings), stdout=log, stderr=log
            )
        wait = _unprivileged("pg_isready", "-q", "-h", str(self.directory), "-d", "postgres", "-t", "1")
        while subprocess.run(wait, check=False).returncode:
            assert self._process.poll() is None, (self.directory / "log").read_text()

    def stop(self) -> None:
        """Stop it as a restart does: sessions are ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_DEADLINE_S)
            self._process = None

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Halt the server with its sessions, as a machine does that swaps or lost its disk; it goes on afterwards."""
        assert self._process is not None
        server = self._process.pid
        sessions = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        halted = [server, *map(int, sessions)]
        try:
            for process in halted:
                os.kill(process, signal.SIGSTOP)
            yield
        finally:
            for process in halted:
                os.kill(process, signal.SIGCONT)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Make a cluster and run it."""
    # A short path, as sockets need.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as name:
        made = Cluster(Path(name))
        if os.getuid() == 0:
            shutil.chown(name, "postgres", "postgres")
        subprocess.run(_unprivileged("initdb", "-D", f"{name}/data", *_INITDB), check=True, capture_output=True)
        rules = made.directory / "data" / "pg_hba.conf"
        rules.write_text(f"local all {WITH_PASSWORD},{_STRANGER} scram-sha-256\n{rules.read_text()}")
        made.start()
        try:
            yield made
        finally:
            made.stop()


def _unprivileged(program: str, *arguments: str) -> list[str]:
    """A command line that runs a program of PostgreSQL as a user other than root; it ends when the tests do."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: float(path.parts[-3]))
    path = str(found[-1]) if found else shutil.which(program)
    assert path is not None, f"{program} of PostgreSQL is not installed: tests/provision.sh does that"
    other: list[str] = []
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        other = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *other, "--pdeathsig=QUIT", path, *arguments]
