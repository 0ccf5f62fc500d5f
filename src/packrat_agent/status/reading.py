"""Reads how a mirror stands from its state database, from any process, while the agent runs or not.

Takes: the configuration, how many events, the time.
Gives: a Status.
Touches: the state database, its holder file and the filesystems' sizes, reading only.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from packrat_agent.config.settings import Config
from packrat_agent.status.lock_holder import Holder, find_holder
from packrat_agent.status.values import (
    AgentState,
    AgentStatus,
    Disk,
    Event,
    Failure,
    FullPass,
    KeyStatus,
    RejectedRecord,
    RepoStatus,
    ScanProgress,
    ServerStatus,
    Status,
    Trouble,
)
from packrat_core.errors import ConfigError, DiskError

TROUBLES_LIMIT = 1000

# A file that is named by two paths, or by an index that is in force too, takes no room of its own.
_OLD_BYTES = (
    "SELECT repo, sum(size) FROM (SELECT repo, max(size) AS size, min(withdrawn_at IS NOT NULL) AS is_old "
    "FROM live_files WHERE publication > '' GROUP BY repo, inode) WHERE is_old GROUP BY repo"
)


def read_status(config: Config, events: int = 0, now: float | None = None) -> Status:
    """Read the state of the mirror, all of it of one moment.

    Raises: ConfigError where there is no state database (of ours); DiskError where it can't be read.
    """
    path = config.mirror.state_db
    try:
        holder = find_holder(path)
        with _reading(path) as db:
            settings = _settings(db)
            repos = _repos(db, settings)
            troubles, total = _troubles(db)
            rejected = _rejected(db)
            rows = db.execute("SELECT at, word, repo, text FROM events ORDER BY id DESC LIMIT ?", (events,)).fetchall()
    except PermissionError:
        raise DiskError(f"may not read the state database {path}; ask as root or as the agent's user") from None
    agent = _agent(holder, settings.get("started", {}))
    return Status(
        at=time.time() if now is None else now,
        mirror=config.packrat.name,
        agent=agent,
        server=_server(config, settings.get("server", {}), settings.get("login", {})),
        repos=repos,
        troubles=troubles,
        troubles_total=total,
        rejected=rejected,
        failure=_failure(settings.get("failure", {})),
        config_error=_text(settings.get("config_error", {}), "reason"),
        full_pass=_full_pass(settings.get("full_pass")),
        # A process that was killed could not take its progress back.
        scan=None if agent.state is AgentState.STOPPED else _scan(settings.get("scan")),
        key=_key(settings.get("key")),
        disks=tuple(_disks(config)),
        events=tuple(Event(*row) for row in reversed(rows)),
    )


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise ConfigError(
            f"there is no state database {path}: no packrat-agent has worked with this configuration yet; "
            "start one with `packrat-agent run`, or name its configuration with --config"
        )
    # Without a WAL nobody writes, and opening it the usual way would have to make one.
    way = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{way}", uri=True, timeout=5)) as db:
            db.execute("PRAGMA query_only = ON")
            db.execute("BEGIN")
            yield db
    except sqlite3.DatabaseError as error:
        if "unable to open" in str(error) and not os.access(path, os.R_OK):
            raise PermissionError from None
        if "no such" in str(error) or "not a database" in str(error):
            raise ConfigError(
                f"{path} is no state database of this packrat-agent ({error}); set state_db to the right file, "
                "or start the agent: it takes over what is there"
            ) from None
        raise DiskError(f"can't read the state database {path}: {error}; ask as root or as the agent's user") from error


def _settings(db: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    found = {}
    for name, text in db.execute("SELECT name, value FROM settings"):
        try:
            value = json.loads(text)
        except ValueError:
            continue
        if isinstance(value, dict):
            found[name] = value
    return found


def _repos(db: sqlite3.Connection, settings: Mapping[str, dict[str, Any]]) -> tuple[RepoStatus, ...]:
    counts: dict[str, dict[str, int]] = {}
    for repo, state, count in db.execute("SELECT repo, state, count(*) FROM files GROUP BY repo, state"):
        counts.setdefault(repo, {})[state] = count
    published = dict(db.execute("SELECT repo, max(published_at) FROM publications GROUP BY repo").fetchall())
    generations = dict(db.execute("SELECT repo, count(*) FROM generations WHERE on_disk GROUP BY repo").fetchall())
    old_bytes = dict(db.execute(_OLD_BYTES).fetchall())
    found = []
    for name, kind, directory in db.execute("SELECT name, kind, directory FROM repos ORDER BY name"):
        files, said = counts.get(name, {}), settings.get(f"repo:{name}", {})
        found.append(
            RepoStatus(
                name=name,
                kind=kind,
                directory=directory,
                wanted=sum(files.values()),
                live=files.get("live", 0),
                refused=files.get("refused", 0),
                pending=files.get("wanted", 0),
                published=_number(said, "published") or published.get(name),
                checked=_number(said, "checked"),
                lag_s=_number(said, "lag_s"),
                held=_text(said, "held"),
                ahead=_text(said, "ahead"),
                error=_text(said, "error"),
                old_generations=generations.get(name, 0),
                old_index_bytes=old_bytes.get(name, 0),
            )
        )
    return tuple(found)


def _troubles(db: sqlite3.Connection) -> tuple[tuple[Trouble, ...], int]:
    found_in = (
        "FROM (SELECT repo, state, file_name, reason FROM files WHERE reason IS NOT NULL AND state <> 'live' "
        "UNION ALL SELECT repo, 'rejected', record, reason FROM rejections WHERE repo IN (SELECT name FROM repos))"
    )
    (total,) = db.execute(f"SELECT count(*) {found_in}").fetchone()
    rows = db.execute(
        f"SELECT repo, state, file_name, reason {found_in} ORDER BY repo, file_name LIMIT ?",
        (TROUBLES_LIMIT,),
    )
    words = {"refused": "refused", "wanted": "pending", "rejected": "rejected"}
    found = tuple(Trouble(repo, words[state], file, reason) for repo, state, file, reason in rows)
    return found, int(total)


def _rejected(db: sqlite3.Connection) -> tuple[RejectedRecord, ...]:
    rows = db.execute("SELECT record, reason FROM rejections WHERE repo = '' ORDER BY record")
    return tuple(RejectedRecord(record, reason) for record, reason in rows)


def _failure(said: Mapping[str, Any]) -> Failure | None:
    reason = _text(said, "reason")
    return None if reason is None else Failure(_number(said, "at"), reason)


def _agent(holder: Holder | None, started: dict[str, Any]) -> AgentStatus:
    version, at = _text(started, "version"), _number(started, "at")
    if holder is None:
        return AgentStatus(AgentState.STOPPED, None, None, version, at)
    state = AgentState.RUNNING
    if not holder.here:
        state = AgentState.ELSEWHERE
    elif started and _whole(started, "pid") != holder.pid:
        # The claim is held, but not by the process that said that it follows the server.
        state = AgentState.SYNCING
    return AgentStatus(state, holder.pid, holder.host, version, at)


def _server(config: Config, said: dict[str, Any], login: dict[str, Any]) -> ServerStatus:
    up = said.get("up")
    refused = _text(login, "refused")
    return ServerStatus(
        url=_text(said, "url") or config.packrat.url,
        up=up if isinstance(up, bool) else None,
        since=_number(said, "since"),
        reason=_text(said, "reason"),
        login_refused=refused,
        login_refused_since=_number(login, "since") if refused else None,
    )


def _full_pass(said: dict[str, Any] | None) -> FullPass | None:
    if said is None:
        return None
    complete = said.get("complete")
    return FullPass(
        began=_number(said, "began"),
        ended=_number(said, "ended"),
        seconds=_number(said, "seconds"),
        files=_whole(said, "files"),
        bytes=_whole(said, "bytes"),
        damaged=_whole(said, "damaged"),
        foreign=_whole(said, "foreign"),
        complete=complete if isinstance(complete, bool) else None,
    )


def _scan(said: dict[str, Any] | None) -> ScanProgress | None:
    if said is None:
        return None
    return ScanProgress(_number(said, "began"), *(_whole(said, name) for name in ("files", "bytes", "of_files")))


def _key(said: dict[str, Any] | None) -> KeyStatus | None:
    if said is None:
        return None
    return KeyStatus(
        _text(said, "fingerprint"), _text(said, "algorithm"), _whole(said, "bits"), _number(said, "expires")
    )


def _disks(config: Config) -> Iterator[Disk]:
    for holds, path in (("root_dir", config.mirror.root_dir), ("state_db", config.mirror.state_db.parent)):
        try:
            sizes = os.statvfs(path)
        except OSError:
            continue
        shares = [free / of for free, of in ((sizes.f_bavail, sizes.f_blocks), (sizes.f_favail, sizes.f_files)) if of]
        percent = round(100 * min(shares, default=1.0), 1)
        writable = not sizes.f_flag & os.ST_RDONLY
        size_bytes, free_bytes = sizes.f_blocks * sizes.f_frsize, sizes.f_bavail * sizes.f_frsize
        yield Disk(holds, str(path), size_bytes, free_bytes, percent, writable)


def _number(said: Mapping[str, Any], name: str) -> float | None:
    value = said.get(name)
    finite = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18
    return float(value) if finite else None  # type: ignore[arg-type]


def _whole(said: Mapping[str, Any], name: str) -> int | None:
    value = _number(said, name)
    return None if value is None else int(value)


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) and value else None
