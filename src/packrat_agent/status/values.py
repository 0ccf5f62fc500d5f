"""The values that status, check and metrics show, and their JSON form.

They are named tuples, since monitoring starts `check` every minute on every mirror: a dataclass takes half a
millisecond to define, a named tuple a tenth of that.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from typing import NamedTuple

from packrat_agent.state.facts import Fact, Failure, KeyInUse, LastFullSync, ScanProgress, ScanRound

SCHEMA = 1
"""Raised when a field of the JSON form is removed or changes its meaning."""


class AgentState(StrEnum):
    """The state of the agent; ELSEWHERE: another host holds the state database, and its processes can't be seen."""

    RUNNING = "running"
    SYNCING = "syncing"
    ELSEWHERE = "elsewhere"
    STOPPED = "stopped"


class AgentStatus(NamedTuple):
    """The process; of a stopped one, `version` and `started` (epoch seconds) are those of the last `run`."""

    state: AgentState
    pid: int | None
    host: str | None
    version: str | None
    started: float | None


class ServerStatus(NamedTuple):
    """The packrat server as last seen; `since`: epoch seconds from which `up` has been so.

    `login_refused`: why it refused the psk of a mirror that it shows without a login; None where it did not.
    `plain_http`: what others on the way to it can do; None if it is reached by https, or on this machine.
    `answered`: whether it has answered since the agent last started.
    """

    url: str
    up: bool | None
    since: float | None
    reason: str | None
    login_refused: str | None = None
    login_refused_since: float | None = None
    plain_http: str | None = None
    answered: bool | None = None


class RepoStatus(NamedTuple):
    """One repository: wanted = live + refused + pending files; times are epoch seconds.

    Attributes:
        lag_s: The age of the oldest change that is known and not published; 0 where there is none.
        old_generations: How many earlier indexes are still on disk.
        old_index_bytes: How large they are.
        unread: Of the pending files, those whose records have not been read yet.
        work: What its sync does just now, in words.
    """

    name: str
    kind: str
    directory: str
    wanted: int
    live: int
    refused: int
    pending: int
    published: float | None
    checked: float | None
    lag_s: float | None
    held: str | None
    ahead: str | None
    error: str | None
    old_generations: int
    old_index_bytes: int
    unread: int = 0
    work: str | None = None


class Trouble(NamedTuple):
    """A file that was left out: `refused`, `pending` and failed so far, or `rejected` where `file` is its record."""

    repo: str
    state: str
    file: str
    reason: str


class Disk(NamedTuple):
    """The filesystem below root_dir or the state database: what is free for the agent, of bytes and of inodes."""

    holds: str
    path: str
    size_bytes: int
    free_bytes: int
    free_percent: float
    writable: bool
    scarce: str = "bytes"
    """What `free_percent` counts: "bytes" or "inodes", whichever is less."""

    @property
    def left(self) -> str:
        """The part that is left, as a person reads it."""
        return f"{self.free_percent:g} %{' of its inodes' if self.scarce == 'inodes' else ''}"


class SectionKey(NamedTuple):
    """The signing key of a section of mirror.conf, such as `repo apt-prod` or `tag prod`."""

    section: str
    key: KeyInUse


class SideFaultStatus(NamedTuple):
    """What fails beside the repositories, such as the landing page, since when (epoch seconds), and why."""

    what: str
    at: float | None
    reason: str


class RejectedRecord(NamedTuple):
    """A record of the mirror itself that can't be used, such as one of its repositories."""

    record: str
    reason: str


class Event(NamedTuple):
    """One line of the history."""

    at: float
    word: str
    repo: str | None
    text: str


class Status(NamedTuple):
    """The mirror as it stood at `at` (epoch seconds); None: the agent has not recorded it yet."""

    at: float
    mirror: str
    agent: AgentStatus
    server: ServerStatus
    repos: tuple[RepoStatus, ...]
    troubles: tuple[Trouble, ...]
    troubles_total: int
    rejected: tuple[RejectedRecord, ...]
    failure: Failure | None
    config_error: str | None
    full_pass: LastFullSync | None
    scan: ScanProgress | None
    scan_round: ScanRound | None
    key: KeyInUse | None
    disks: tuple[Disk, ...]
    events: tuple[Event, ...]
    section_keys: tuple[SectionKey, ...] = ()
    root_lost: str | None = None
    config_changed: str | None = None
    side_faults: tuple[SideFaultStatus, ...] = ()

    def named_keys(self) -> Iterator[tuple[str, KeyInUse]]:
        """Give each key with its name in a sentence: "the signing key", "the signing key of [tag prod]"."""
        if self.key is not None:
            yield "the signing key", self.key
        for section_key in self.section_keys:
            yield f"the signing key of [{section_key.section}]", section_key.key

    def as_json(self) -> str:
        """Write it as one JSON object; docs/operations.md describes its fields."""
        fields = {name: _as_json(field) for name, field in self._asdict().items()}
        return json.dumps({"schema": SCHEMA, **fields}, indent=2, ensure_ascii=False, allow_nan=False)


def _as_json(value: object) -> object:
    match value:
        case tuple() if hasattr(value, "_asdict"):
            return {name: _as_json(field) for name, field in value._asdict().items()}
        case tuple():
            return [_as_json(item) for item in value]
        case Fact():
            return asdict(value)
        case _:
            return value
