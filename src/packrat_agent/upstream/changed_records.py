"""Remembers the records that came with an answer to `changes`, until the sync that the change sets off takes them.

1. They are as untrusted as any record: here only their shape is checked, and the sync that takes them reads each as
   one that it asked for.
2. What is remembered of a package comes from the last answer that named it: of all its files, or of those that the
   change touched. What several answers say of files that they touched is put together. Where an answer says nothing,
   has another shape than expected, or came too long ago, nothing is remembered, and the sync asks.
3. Each is taken once: a sync that is tried again asks.
4. Records of some files of a package are enough only if every earlier change of it is settled. So a package with a
   change that came without records, or that a sync took and did not finish, is in doubt: its next sync asks.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packrat_agent.upstream.read_changes import TOUCHED
from packrat_agent.upstream.records import PACKAGE, PACKAGE_FILE, REPO, Unusable, read_id

_KEPT_S = 60.0
_PACKAGES_LIMIT = 200
_FILES_LIMIT = 100
_TEXT_LIMIT = 1000
_FIELDS = (
    *("package", "distroversion", "version", "type", "arch", "file", "sha256", "created"),
    *("failed_at", "deprocated_at"),
)
"""The fields of a record that are read; no others are remembered, however many the server sends."""
_DOUBTS_LIMIT = 10_000

RawRecords = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ChangedRecords:
    """The server's records of the files of some changed packages.

    Attributes:
        wanted: URI → raw record.
        deprecated: The same of the deprecated files.
        asked_at: When the server was asked, in epoch seconds.
        touched: The URIs of the files that it is about, of which those without a record are gone; None: all files of
            the packages.
    """

    wanted: RawRecords
    deprecated: RawRecords
    asked_at: float
    touched: frozenset[str] | None = None

    async def get_records(self, ids: Sequence[str], *, bulk: bool) -> RawRecords:
        """Give the raw records of some ids, as the server would."""
        del bulk
        uris = [f"{PACKAGE_FILE}:{number}:" for number in ids]
        both = {**self.wanted, **self.deprecated}
        return {uri: both[uri] for uri in uris if uri in both}

    def and_then(self, later: "ChangedRecords") -> "ChangedRecords | None":
        """Merge with what was said later, of files that were touched by then; None where they can't be merged."""
        if later.touched is None:
            return later
        if self.touched is None or len(self.touched | later.touched) > _FILES_LIMIT:
            return None
        before = (
            {uri: record for uri, record in records.items() if uri not in later.touched}
            for records in (self.wanted, self.deprecated)
        )
        wanted, deprecated = ({**old, **new} for old, new in zip(before, (later.wanted, later.deprecated), strict=True))
        return ChangedRecords(wanted, deprecated, min(self.asked_at, later.asked_at), self.touched | later.touched)


@dataclass(frozen=True, slots=True)
class _Received:
    records: ChangedRecords
    heard: float


class ChangedPackages:
    """The records that came with changes, by repository and package."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._received: dict[tuple[str, str], _Received] = {}
        self._number = 0
        self._doubts: dict[tuple[str, str], int] = {}
        self._forgotten: dict[str, int] = {}
        self._is_forgetful = False

    @property
    def moment(self) -> int:
        """The number of this moment, for `settle`."""
        return self._number

    def clear(self) -> None:
        """Forget everything: what a repository wants may have changed altogether."""
        self._number += 1
        self._forget(list(self._received))

    def hear(self, changed: Mapping[str, Collection[str] | None], records: object, asked_at: float) -> None:
        """Take in an answer.

        Args:
            changed: Repository → the packages that changed; None: any.
            records: The records that came with it, unchecked.
            asked_at: When the server was asked, in epoch seconds.
        """
        self._number += 1
        now = self._clock()
        self._forget([key for key, received in self._received.items() if now - received.heard >= _KEPT_S])
        for repo, packages in changed.items():
            if packages is None:
                self._forget([key for key in self._received if key[0] == repo])
            by_package = _read_repo(_member(records, f"{REPO}:{repo}:"), packages or (), asked_at)
            for package in packages or ():
                self._hear((repo, package), by_package.get(package), now)

    def _hear(self, key: tuple[str, str], records: ChangedRecords | None, now: float) -> None:
        before = self._received.pop(key, None)
        if records is not None and before is not None:
            records = before.records.and_then(records)
        if records is None or len(self._received) >= _PACKAGES_LIMIT:
            self._doubt([key])
        else:
            self._received[key] = _Received(records, now)

    def _forget(self, keys: Collection[tuple[str, str]]) -> None:
        for key in keys:
            del self._received[key]
        self._doubt(keys)

    def _doubt(self, keys: Collection[tuple[str, str]]) -> None:
        self._doubts.update(dict.fromkeys(keys, self._number))
        if len(self._doubts) > _DOUBTS_LIMIT:
            # All packages of these repositories are in doubt then, until all that the repository has is remembered.
            self._forgotten.update((repo, self._number) for repo, _ in self._doubts)
            self._doubts.clear()
            self._is_forgetful = self._is_forgetful or len(self._forgotten) > _DOUBTS_LIMIT

    def take(self, repo: str, packages: Collection[str] | None) -> ChangedRecords | None:
        """Take the records of some packages of a repository; None where those of any package are not known.

        A sync that takes them, or asks instead, must call `settle` later.

        Args:
            repo: The name of the repository.
            packages: The names of the packages; None for all.
        """
        if not packages:
            return None
        since, keys = self._clock() - _KEPT_S, [(repo, package) for package in packages]
        found = [self._received.pop(key, None) for key in keys]
        known = [received.records for received in found if received is not None and received.heard > since]
        is_in_doubt = self._is_forgetful or repo in self._forgotten or any(key in self._doubts for key in keys)
        self._doubt(keys)
        is_any_missing = len(known) < len(packages)
        # Of each package come the records of all its files, or of the touched ones alone; the two don't go together.
        are_touched_alone = {records.touched is not None for records in known}
        if is_any_missing or len(are_touched_alone) > 1:
            return None
        touched = None
        if are_touched_alone == {True}:
            # An earlier change that is not settled may have touched other files.
            if is_in_doubt:
                return None
            touched = frozenset[str]().union(*(records.touched or () for records in known))
        wanted = {uri: record for records in known for uri, record in records.wanted.items()}
        deprecated = {uri: record for records in known for uri, record in records.deprecated.items()}
        return ChangedRecords(wanted, deprecated, min(records.asked_at for records in known), touched)

    def settle(self, repo: str, packages: Collection[str] | None, at: int) -> None:
        """Note that what was heard of some packages is remembered.

        Args:
            repo: The name of the repository.
            packages: The names of the packages; None for all.
            at: The moment before they were taken: what was heard since is still in doubt.
        """
        names = [key[1] for key in self._doubts if key[0] == repo] if packages is None else packages
        if packages is None and self._forgotten.get(repo, at + 1) <= at:
            del self._forgotten[repo]
        for key in [(repo, name) for name in names]:
            if self._doubts.get(key, at + 1) <= at:
                del self._doubts[key]


def _read_repo(by_name: object, packages: Collection[str], asked_at: float) -> dict[str, ChangedRecords]:
    records: dict[str, ChangedRecords] = {}
    for package in packages:
        by_kind = _member(by_name, package)
        wanted = _read_records(_member(by_kind, "wanted"), package)
        deprecated = _read_records(_member(by_kind, "deprocated"), package)
        if wanted is None or deprecated is None or wanted.keys() & deprecated.keys():
            continue
        touched = None
        if isinstance(by_kind, dict) and TOUCHED in by_kind:
            touched = _read_uris(by_kind[TOUCHED])
            if touched is None or not touched.issuperset(wanted) or not touched.issuperset(deprecated):
                continue
        records[package] = ChangedRecords(wanted, deprecated, asked_at, touched)
    return records


def _read_records(value: object, package: str) -> RawRecords | None:
    """Give the records by URI; None where they are not what the server says of files of this package."""
    if not isinstance(value, dict) or _read_uris(list(value)) is None:
        return None
    records: dict[str, Mapping[str, Any]] = {}
    for uri, record in value.items():
        if _member(record, "package") != f"{PACKAGE}:{package}:":
            return None
        records[uri] = {field: record[field] for field in _FIELDS if field in record}
        # Longer ones, and those of other types, can't be used; the answer to a question of its own tells that.
        if not all(
            text is None or (isinstance(text, str) and len(text) <= _TEXT_LIMIT) for text in records[uri].values()
        ):
            return None
    return records


def _read_uris(value: object) -> frozenset[str] | None:
    """Give the URIs; None where they are not those of a few package files."""
    if not isinstance(value, list) or len(value) > _FILES_LIMIT:
        return None
    for uri in value:
        try:
            read_id(uri, PACKAGE_FILE)
        except Unusable:
            return None
    return frozenset(value)


def _member(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None
