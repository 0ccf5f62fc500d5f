"""Reads how a mirror stands from its state database, from any process, while the agent runs or not.

It only reads: the state database, its holder file, and the sizes of the filesystems. Table, nagios and prometheus show
the Status that it gives, each in its own way.
"""

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from heapq import nsmallest
from pathlib import Path

from packrat_agent.config.load import load
from packrat_agent.config.plain_http import warn_of_plain_http
from packrat_agent.config.settings import Config
from packrat_agent.config.version import is_changed
from packrat_agent.state.database import explain_damage, is_there, newest_schema
from packrat_agent.state.fact_table import FactsRead
from packrat_agent.state.facts import (
    FailedStart,
    Failure,
    KeyInUse,
    LastFullSync,
    LoginRefusal,
    RefusedConfig,
    RepoHealth,
    RepoWork,
    ScanProgress,
    ScanRound,
    ServerHealth,
    Started,
)
from packrat_agent.state.file_state import FileState
from packrat_agent.state.unwritten import is_unwritten
from packrat_agent.status.lock_holder import Holder, find_holder
from packrat_agent.status.root_lost import find_lost
from packrat_agent.status.values import (
    AgentState,
    AgentStatus,
    Disk,
    Event,
    RejectedRecord,
    RepoStatus,
    SectionKey,
    ServerStatus,
    SideFaultStatus,
    Status,
    Trouble,
)
from packrat_core.errors import ConfigError, DiskError
from packrat_core.text import count_of

TROUBLES_LIMIT = 1000

# A file with two paths, or one that the current index names too, takes no room of its own.
_OLD_BYTES = (
    "SELECT repo, sum(size) FROM (SELECT repo, max(size) AS size, min(withdrawn_at IS NOT NULL) AS is_old "
    "FROM repos CROSS JOIN live_files INDEXED BY live_files_by_repo ON repo = name AND publication > '' "
    "GROUP BY repo, inode) WHERE is_old GROUP BY repo"
)

_UNWRITTEN = "it can't write its state database: its log says why"


def load_and_read(config_path: Path, events: int = 0) -> tuple[Config, Status]:
    """Read a configuration, and the state of its mirror.

    Raises:
        ConfigError: This, and DiskError as `read_status`; or the configuration can't be used.
    """
    config = load(config_path)
    return config, read_status(config, events)


def read_status(config: Config, events: int = 0, now: float | None = None) -> Status:
    """Read the state of the mirror, all of it of one moment.

    Args:
        config: The configuration.
        events: How many of the last events to read.
        now: The moment, in epoch seconds; None: that of the reading.

    Raises:
        ConfigError: There is no state database, or it is not ours or of another version.
        DiskError: It can't be read.
    """
    path, at = config.mirror.state_db, time.time() if now is None else now
    try:
        holder = find_holder(path)
        with _reading(path) as db:
            facts = FactsRead(db)
            states, troubles, total = _read_unfinished(db)
            repos = _repos(db, facts, at, states, is_at_work=holder is not None)
            rejected = _rejected(db)
            rows = db.execute("SELECT at, word, repo, text FROM events ORDER BY id DESC LIMIT ?", (events,)).fetchall()
    except OSError as error:
        raise _unread(path, error) from None
    started = facts.read(Started)
    agent = _agent(holder, started)
    refused_config = facts.read(RefusedConfig)
    return Status(
        at=at,
        mirror=config.packrat.name,
        agent=agent,
        server=_server(config, facts),
        repos=repos,
        troubles=troubles,
        troubles_total=total,
        rejected=rejected,
        failure=Failure(at, _UNWRITTEN) if is_unwritten(path) else _read_failure(facts),
        config_error=refused_config.reason if refused_config is not None else None,
        full_pass=facts.read(LastFullSync),
        # A process that was killed could not take its progress back.
        scan=None if agent.state is AgentState.STOPPED else facts.read(ScanProgress),
        scan_round=facts.read(ScanRound),
        key=facts.read(KeyInUse),
        disks=tuple(read_disks(config)),
        events=tuple(Event(*row) for row in reversed(rows)),
        section_keys=tuple(SectionKey(section, key) for section, key in facts.section_keys().items()),
        root_lost=find_lost(config.mirror.root_dir, holder) if any(repo.live for repo in repos) else None,
        config_changed=_tell_changed(config, started) if agent.state is AgentState.RUNNING else None,
        side_faults=tuple(_side_faults(facts)),
    )


def _read_failure(facts: FactsRead) -> Failure | None:
    """Give why the agent can't work: why it could not start, or what came up since."""
    if (start := facts.read(FailedStart)) is not None and start.reason:
        return Failure(start.at, start.reason)
    failure = facts.read(Failure)
    return failure if failure is not None and failure.reason else None


def _side_faults(facts: FactsRead) -> Iterator[SideFaultStatus]:
    for what, fault in facts.side_faults().items():
        yield SideFaultStatus(what, fault.at, fault.reason or "")


def _unread(path: Path, error: OSError) -> DiskError:
    if isinstance(error, PermissionError):
        return DiskError(f"may not read the state database {path}", hint="run this as root or as the agent's user")
    reason = error.strerror or str(error)
    return DiskError(f"can't read the state database {path}: {reason}", hint="set state_db to the right file")


def read_totals(config: Config) -> dict[str, int]:
    """Read how many files the work that is under way has in all: that of each repository, and `checking`, the scan.

    What can't be read now is left out.
    """
    path, totals = config.mirror.state_db, {}
    with suppress(ConfigError, DiskError, OSError), _reading(path) as db:
        facts = FactsRead(db)
        totals["checking"] = int(db.execute("SELECT count(*) FROM live_files").fetchone()[0])
        for (name,) in db.execute("SELECT name FROM repos"):
            work = facts.work(name)
            if work is not None and work.of is not None:
                totals[name] = work.of
    return totals


def read_live_path(config: Config, repo: str) -> str | None:
    """Name a package file that the index of a repository names, by its path below root_dir.

    Raises:
        ConfigError: There is no state database, or it is not ours or of another version.
        DiskError: It can't be read.
    """
    with _reading(config.mirror.state_db) as db:
        sql = "SELECT path FROM files WHERE repo = ? AND state = ? AND path IS NOT NULL LIMIT 1"
        row = db.execute(sql, (repo, FileState.LIVE)).fetchone()
    return row[0] if row is not None else None


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not is_there(path):
        raise ConfigError(
            f"there is no state database {path}: no packrat-agent has worked with this configuration yet",
            hint="start one with `packrat-agent run`, or name its configuration with --config",
        )
    # Without a WAL nobody writes to it. Opening it the usual way would make one, and this only reads.
    # Unlike Path.exists, this raises nothing where a link leads round in a circle.
    has_wal = os.path.exists(f"{path}-wal")
    way = "mode=ro" if has_wal else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{way}", uri=True, timeout=5)) as db:
            db.execute("PRAGMA query_only = ON")
            db.execute("BEGIN")
            _check_schema(db, path)
            yield db
    except sqlite3.DatabaseError as error:
        if "unable to open" in str(error) and not os.access(path, os.R_OK):
            raise PermissionError from None
        if "no such" in str(error) or "not a database" in str(error):
            raise _not_ours(path, str(error)) from None
        if not isinstance(error, sqlite3.OperationalError):
            raise explain_damage(error, path) from error
        raise DiskError(
            f"can't read the state database {path}: {error}",
            hint=f"run this as root or as the agent's user, and see that {path.name}-wal and -shm beside it are files",
        ) from error


def _check_schema(db: sqlite3.Connection, path: Path) -> None:
    """Tell a state database of another version from one that can be read.

    The package may have been upgraded while the former agent is still running; only the agent itself migrates.

    Raises:
        ConfigError: It is of another version, or not a state database of packrat-agent.
    """
    schema, newest = int(db.execute("PRAGMA user_version").fetchone()[0]), newest_schema()
    if schema == newest:
        return
    if schema > newest:
        raise ConfigError(
            f"the state database {path} is of a newer packrat-agent (schema {schema}, this one reads {newest})",
            hint="upgrade packrat-agent",
        )
    if schema == 0 and not db.execute("SELECT 1 FROM sqlite_schema").fetchone():
        raise ConfigError(
            f"the state database {path} is empty: no packrat-agent has worked with it yet, or its content is lost",
            hint="start the agent, or restart it if it is running: it adopts the files that it finds in root_dir",
        )
    if schema == 0 or not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'live_files'").fetchone():
        raise _not_ours(path, f"schema {schema}")
    raise ConfigError(
        f"the state database {path} is of an older packrat-agent (schema {schema}, this one reads {newest})",
        hint="start the agent, or restart it if it is running: it brings the database up to date when it starts, and "
        "loses nothing",
    )


def _not_ours(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{path} is not a state database of packrat-agent ({reason})",
        hint="set state_db to the right file. If it is that of the original packrat agent, "
        "`packrat-agent sync --adopt` takes over what is there",
    )


def _repos(
    db: sqlite3.Connection, facts: FactsRead, at: float, states: Mapping[tuple[str, str], int], *, is_at_work: bool
) -> tuple[RepoStatus, ...]:
    """Read how each repository stands.

    Args:
        db: The state database.
        facts: The facts in it.
        at: The moment of the reading.
        states: How many files each repository has in each state but live.
        is_at_work: Whether an agent is.
    """
    # All are counted in an index: the rows take four times as long, and `check` runs every minute.
    sql = "SELECT repo, count(*) FROM files INDEXED BY files_by_package GROUP BY repo"
    wanted = dict(db.execute(sql).fetchall())
    published = dict(db.execute("SELECT repo, max(published_at) FROM publications GROUP BY repo").fetchall())
    generations = dict(db.execute("SELECT repo, count(*) FROM generations WHERE on_disk GROUP BY repo").fetchall())
    old_bytes = dict(db.execute(_OLD_BYTES).fetchall())
    found = []
    for name, kind, directory in db.execute("SELECT name, kind, directory FROM repos ORDER BY name"):
        health = facts.repo(name)
        refused, pending = (states.get((name, state), 0) for state in (FileState.REFUSED, FileState.WANTED))
        # A process that was killed could not take its notes back.
        work = facts.work(name) if is_at_work else None
        unread = (work.new or 0) if work is not None else 0
        found.append(
            RepoStatus(
                name=name,
                kind=kind,
                directory=directory,
                wanted=wanted.get(name, 0) + unread,
                live=wanted.get(name, 0) - refused - pending,
                refused=refused,
                pending=pending + unread,
                published=health.published or published.get(name) or None,
                checked=health.checked,
                lag_s=_lag_s(health, at),
                held=health.held,
                ahead=health.ahead,
                error=health.error,
                old_generations=generations.get(name, 0),
                old_index_bytes=old_bytes.get(name, 0),
                unread=unread,
                work=None if work is None else _describe_work(name, work),
            )
        )
    return tuple(found)


def _lag_s(health: RepoHealth, at: float) -> float | None:
    if health.behind_since is not None:
        return max(0.0, at - health.behind_since)
    return None if health.checked is None else 0.0


def _describe_work(repo: str, work: RepoWork) -> str | None:
    if work.reading is not None:
        words = ("new record", "new records") if work.new else ("known record again", "known records again")
        return f"reading {count_of(work.reading, *words, grouped=True)} of {repo}"
    return None if work.of is None else f"syncing {repo}, {work.done or 0:,} of {work.of:,}"


def _read_unfinished(db: sqlite3.Connection) -> tuple[Mapping[tuple[str, str], int], tuple[Trouble, ...], int]:
    """Count the files that are not live by repository and state; give the first troubles, and the number of all.

    The rows are read once, since no index has them, and neither held, as no file is live until a first sync ends, nor
    sorted by SQLite, which would need room on disk.
    """
    states: Counter[tuple[str, str]] = Counter()
    total = 0

    def list_troubles() -> Iterator[tuple[str, str, str, str]]:
        nonlocal total
        words = {FileState.REFUSED: "refused", FileState.WANTED: "pending"}
        sql = "SELECT repo, state, file_name, reason FROM files WHERE state <> ?"
        for repo, state, file, reason in db.execute(sql, (FileState.LIVE,)):
            states[repo, state] += 1
            if reason is not None:
                total += 1
                yield repo, file, words[state], reason
        sql = "SELECT repo, record, reason FROM rejections WHERE repo IN (SELECT name FROM repos)"
        for repo, record, reason in db.execute(sql):
            total += 1
            yield repo, record, "rejected", reason

    first = nsmallest(TROUBLES_LIMIT, list_troubles())
    return states, tuple(Trouble(repo, word, file, reason) for repo, file, word, reason in first), total


def _rejected(db: sqlite3.Connection) -> tuple[RejectedRecord, ...]:
    rows = db.execute("SELECT record, reason FROM rejections WHERE repo = '' ORDER BY record")
    return tuple(RejectedRecord(record, reason) for record, reason in rows)


def _agent(holder: Holder | None, started: Started | None) -> AgentStatus:
    version, at = (started.version, started.at) if started is not None else (None, None)
    if holder is None:
        return AgentStatus(AgentState.STOPPED, None, None, version, at)
    state = AgentState.RUNNING
    if not holder.here:
        state = AgentState.ELSEWHERE
    elif started is not None and started.pid != holder.pid:
        # The lock is held, but not by the process that said that it follows the server.
        state = AgentState.SYNCING
    return AgentStatus(state, holder.pid, holder.host, version, at)


def _tell_changed(config: Config, started: Started | None) -> str | None:
    """Tell whether the file that this process has read is another one by now than the running agent has read."""
    if started is None or not started.config or not is_changed(config, started.config):
        return None
    source = config.source.absolute()
    return f"{source} was changed since the agent read it: `systemctl reload packrat-agent` puts it in force"


def _server(config: Config, facts: FactsRead) -> ServerStatus:
    health = facts.read(ServerHealth) or ServerHealth(None, None, None, None)
    login = facts.read(LoginRefusal) or LoginRefusal(None, None)
    return ServerStatus(
        url=health.url or config.packrat.url,
        up=health.up,
        since=health.since,
        reason=health.reason,
        login_refused=login.refused,
        login_refused_since=None if login.refused is None else login.since,
        plain_http=warn_of_plain_http(config.packrat),
        answered=health.answered,
    )


def read_disks(config: Config) -> Iterator[Disk]:
    """Read how full the filesystems of root_dir and the state database are, in bytes and in inodes."""
    for holds, path in (("root_dir", config.mirror.root_dir), ("state_db", config.mirror.state_db.parent)):
        try:
            sizes = os.statvfs(path)
        except OSError:
            continue
        rooms = (("bytes", sizes.f_bavail, sizes.f_blocks), ("inodes", sizes.f_favail, sizes.f_files))
        share, scarce = min(((free / of, what) for what, free, of in rooms if of), default=(1.0, "bytes"))
        percent = round(100 * share, 1)
        writable = not sizes.f_flag & os.ST_RDONLY
        size_bytes, free_bytes = sizes.f_blocks * sizes.f_frsize, sizes.f_bavail * sizes.f_frsize
        yield Disk(holds, str(path), size_bytes, free_bytes, percent, writable, scarce)
