"""Recognizes and reads the state database of the original packrat agent, and makes room for ours.

It is an SQLite file with the tables `control`, `repos` and `files`:

    repos   name, manager, filesystem_dir
    files   repo, uri, filename, distro, distro_version, arch, sha256, signed256

Its first versions had neither `filesystem_dir`, but directories with the names of the repositories, nor `signed256`.

`sha256` is that of the server's record. `signed256` is that of the copy on disk that was signed with the mirror's key.
The path that the agent gave to a file is not in it; `original_places` has the rules.

    path = find_original(state_db)
    known = read_original(path)     # touches nothing, even if the original agent died in a transaction
    set_original_aside(path)
"""

import glob
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from packrat_core.errors import DiskError
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.packages.repository_types import KIND_OF_OTHER_NAME

_TABLES = frozenset({"control", "repos", "files"})
_ENDING = ".original"
_SIDES = ("-journal", "-wal", "-shm")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SEGMENT = re.compile(r"[^/\0]{1,255}")
_BUSY_S = 5.0


@dataclass(frozen=True, slots=True)
class OriginalRepo:
    """A repository as the original agent knew it; `directory` is relative to `root_dir`."""

    name: str
    kind: str
    directory: str


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """A package file of the original agent; `signed256` is '' where it was published as the server has it."""

    repo: str
    uri: str
    file_name: str
    distro: str
    distro_version: str
    arch: str
    sha256: str
    signed256: str = ""


@dataclass(frozen=True, slots=True)
class OriginalState:
    """The original agent's state, as far as it makes sense."""

    repos: Mapping[str, OriginalRepo]
    files: Sequence[OriginalFile]

    def signed_copies(self) -> dict[str, frozenset[str]]:
        """Map the SHA-256 of each package file to those of its signed copies."""
        found: dict[str, frozenset[str]] = {}
        for file in self.files:
            if file.signed256 and file.signed256 != file.sha256:
                found[file.sha256] = found.get(file.sha256, frozenset()) | {file.signed256}
        return found


def is_original(path: Path) -> bool:
    """Tell whether a file is a state database of the original agent, not one of this agent or something else.

    Raises:
        DiskError: It can't be read.
    """
    with as_disk_error("read the state database", path):
        if not path.is_file():
            return False
    # Immutable: SQLite makes no file beside it and takes no lock, whatever the original agent left there.
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as db:
            names = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    except sqlite3.DatabaseError:
        return False
    return names >= _TABLES and "live_files" not in names


def find_original(state_db: Path) -> Path | None:
    """Find the original agent's state database: at its place, or where an interrupted takeover set it aside.

    Raises:
        DiskError: It can't be read.
    """
    with as_disk_error("read", state_db.parent):
        found = state_db.parent.glob(f"{glob.escape(state_db.name)}{_ENDING}*")
        aside = sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return next((path for path in (state_db, *aside) if is_original(path)), None)


def read_original(path: Path) -> OriginalState:
    """Read what the original agent remembered; rows that make no sense are left out.

    Raises:
        DiskError: It can't be read.
    """
    try:
        with _copied(path) as db:
            # Its first versions had no column for it.
            directory_column = "filesystem_dir" if "filesystem_dir" in _columns(db, "repos") else "name"
            repos = {
                name: OriginalRepo(name, KIND_OF_OTHER_NAME.get(kind, kind), directory.strip("/"))
                for name, kind, directory in _rows(db, "repos", ("name", "manager", directory_column))
                if name and directory.strip("/")
            }
            columns = ("repo", "uri", "filename", "distro", "distro_version", "arch", "sha256", "signed256")
            files = [OriginalFile(*row) for row in _rows(db, "files", columns)]
    except sqlite3.DatabaseError as error:
        raise DiskError(
            f"can't read the original agent's state database {path}: {error}; put a copy of it back from a backup, or "
            "move it away: what it knows of signed rpms is lost then, and they are downloaded again"
        ) from error
    return OriginalState(repos, [file for file in files if file.repo in repos and _makes_sense(file)])


def set_original_aside(path: Path) -> Path:
    """Rename the original agent's state database out of the way; gives its new path.

    Raises:
        DiskError: It can't be renamed, or the original agent is still at work.
    """
    aside = path.with_name(path.name + _ENDING)
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}{_ENDING}-{number}")
    try:
        # A journal that the original agent left is rolled back first; beside our database, it would be taken for ours.
        with closing(sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)) as db:
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        raise DiskError(
            f"can't take over the original agent's {path}: {error}; stop that agent, and see that this user may write "
            "to the file and its directory"
        ) from error
    with as_disk_error(f"set aside as {aside.name}", path):
        path.replace(aside)
    return aside


@contextmanager
def _copied(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of a database with its journals, so that the database itself stays as it is to the last byte."""
    with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch:
        copy = Path(scratch) / "original"
        with as_disk_error("read the state database", path):
            shutil.copyfile(path, copy)
            for end in _SIDES:
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{path}{end}", f"{copy}{end}")
        with closing(sqlite3.connect(copy)) as db:
            yield db


def _rows(db: sqlite3.Connection, table: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Read columns as texts; '' where an earlier version lacks the column, or the value is not text."""
    have = _columns(db, table)
    wanted = ", ".join(f'"{column}"' if column in have else "''" for column in columns)
    for row in db.execute(f"SELECT {wanted} FROM {table}"):
        yield tuple(value if isinstance(value, str) else "" for value in row)


def _columns(db: sqlite3.Connection, table: str) -> frozenset[str]:
    return frozenset(row[1] for row in db.execute(f"PRAGMA table_info({table})"))


def _makes_sense(file: OriginalFile) -> bool:
    segments = (file.file_name, file.distro, file.distro_version or "-", file.arch)
    return (
        all(_SEGMENT.fullmatch(segment) and segment not in (".", "..") for segment in segments)
        and _SHA256.fullmatch(file.sha256) is not None
        and (not file.signed256 or _SHA256.fullmatch(file.signed256) is not None)
    )
