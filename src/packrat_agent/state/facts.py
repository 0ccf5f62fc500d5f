"""The single facts that the agent remembers of its state, for `status` and for the next start: a value for each kind.

`fact_table` keeps them under NAME. A field is None where an earlier version, or an odd row, doesn't have it.
"""

from dataclasses import dataclass
from typing import ClassVar, TypedDict


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known; times are epoch seconds."""

    NAME: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Started(Fact):
    """The last start of `packrat-agent run`, and the version of mirror.conf that it has read."""

    NAME = "started"
    pid: int | None
    host: str | None
    at: float | None
    version: str | None
    config: str | None = None


@dataclass(frozen=True, slots=True)
class ServerHealth(Fact):
    """Whether the packrat server answers, `since` when that is so, and the reason why not.

    `answered`: whether it has answered since the last start of `packrat-agent run`.
    """

    NAME = "server"
    url: str | None
    up: bool | None
    since: float | None
    reason: str | None
    answered: bool | None = None


@dataclass(frozen=True, slots=True)
class LoginRefusal(Fact):
    """Why the server refuses the psk of a mirror that it shows without a login; None: it does not."""

    NAME = "login"
    refused: str | None
    since: float | None


@dataclass(frozen=True, slots=True)
class Failure(Fact):
    """Why the agent can't work; it goes on by itself once that is mended."""

    NAME = "failure"
    at: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class FailedStart(Fact):
    """Why the last `run` or `sync` ended before it asked the server, such as for want of the key."""

    NAME = "failed_start"
    at: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class RefusedConfig(Fact):
    """Why the configuration on disk is not the one in force."""

    NAME = "config_error"
    at: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class LastFullSync(Fact):
    """The last full sync that came to its end: how many `files` it found right, how many `bytes` it read on disk."""

    NAME = "full_pass"
    began: float | None
    ended: float | None
    seconds: float | None
    files: int | None
    bytes: int | None
    damaged: int | None
    foreign: int | None
    complete: bool | None


@dataclass(frozen=True, slots=True)
class ScanProgress(Fact):
    """The progress of the scan of a full sync that is under way."""

    NAME = "scan"
    began: float | None
    files: int | None
    bytes: int | None
    of_files: int | None


@dataclass(frozen=True, slots=True)
class ScanRound(Fact):
    """The progress of reading the content of the tree, over several scans.

    Of the round under way: `began`, the `position` (the last path that was read; None: none yet) and how many `bytes`
    were read; None between two rounds. `ended`: when the last one ended; None: none did.
    """

    NAME = "scan_round"
    began: float | None
    ended: float | None
    position: str | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class KeyInUse(Fact):
    """The main key, or the key of a section of mirror.conf.

    The key of a section is stored under `key:` and the section, such as `key:repo apt-prod`.

    Attributes:
        fingerprint: None if there is no key.
        expires: None if it never does.
        stale: What is wrong with a public key that the operator keeps in root_dir; None if nothing is.
        unused: Why the key of a section signs nothing; None if it signs.
        phase: The Phase of a rotation; None where none is under way.
        next: The fingerprint of the next key.
        former: The fingerprint of the former key.
        silent: Why the former key does not sign.
        retired: The fingerprints of retired keys, separated by spaces.
        offered_at: From when on all of this phase was published; None: it is not yet. So for `switched_at`,
            `retired_at`.
        kept_packages: How many packages stand with the signature of another key.
    """

    NAME = "key"
    fingerprint: str | None
    algorithm: str | None = None
    bits: int | None = None
    expires: float | None = None
    stale: str | None = None
    unused: str | None = None
    phase: str | None = None
    next: str | None = None
    next_expires: float | None = None
    former: str | None = None
    former_expires: float | None = None
    silent: str | None = None
    retired: str | None = None
    offered_at: float | None = None
    switched_at: float | None = None
    retired_at: float | None = None
    kept_packages: int | None = None


@dataclass(frozen=True, slots=True)
class SteadyTime(Fact):
    """The steady clock when it was last read, and the clocks that it was read from; seconds.

    boot: Names the run of the machine. running: For how long it had run. wall: The time of day.
    """

    NAME = "steady_time"
    at: float | None
    boot: str | None
    running: float | None
    wall: float | None


@dataclass(frozen=True, slots=True)
class RetentionTime(Fact):
    """When it was last looked which files go, by the steady clock and by the time of day; seconds.

    boot: Names the run of the machine. since: The time of day from which on times are surely of this run. ahead: By how
    much the time of day has jumped ahead in this run, less what it came back.
    """

    NAME = "retention_time"
    at: float | None
    wall: float | None
    boot: str | None
    since: float | None
    ahead: float | None


@dataclass(frozen=True, slots=True)
class TrustedRecords(Fact):
    """From when on records of package files are trusted, and which server they are of."""

    NAME = "records"
    since: float | None
    server: str | None


@dataclass(frozen=True, slots=True)
class SealedList(Fact):
    """The list that was sealed last: SHA-256 of its text and of the file with its seal, and who sealed it."""

    NAME = "sealed"
    text: str | None
    file: str | None
    by: str | None


@dataclass(frozen=True, slots=True)
class TakeoverUnderWay(Fact):
    """The takeover of another agent's tree, until a full sync has ended it.

    `original` is the path of the original packrat agent's state database, None where that agent left none.
    """

    NAME = "takeover"
    began: float | None
    original: str | None


@dataclass(frozen=True, slots=True)
class SideFault:
    """Why something beside the repositories fails, such as the landing page; stored under `side:` and what that is."""

    at: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RepoWork:
    """The progress of a repository's sync that is under way; stored under `work:` and the repository's name.

    reading: records that it still has to read before it can go on. new: of these, how many are of files that nobody
    knew. done, of: files that it has fetched, and all.
    """

    began: float | None = None
    reading: int | None = None
    new: int | None = None
    done: int | None = None
    of: int | None = None


@dataclass(frozen=True, slots=True)
class RepoHealth:
    """The outcome of a repository's last syncs; stored under `repo:` and the repository's name.

    `behind_since`: when the oldest change was heard of that is known and not published yet; None where there is none.
    """

    checked: float | None = None
    published: float | None = None
    behind_since: float | None = None
    held: str | None = None
    ahead: str | None = None
    error: str | None = None


class RepoChanges(TypedDict, total=False):
    """The fields of a RepoHealth that change."""

    checked: float
    published: float
    behind_since: float | None
    held: str | None
    ahead: str | None
    error: str | None
