"""Remembers the records that came with an answer to `changes`, until the sync that the change sets off takes them.

1. They are as untrusted as any record: here only their shape is checked, and whoever takes them reads each one as one
   that was asked for.
2. What is remembered of a package is what the last answer that named it said. Where that said nothing, in another shape
   than expected, or too long ago, nothing is remembered, and the sync asks.
3. Each is taken once: a sync that is tried again asks.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packrat_agent.upstream.records import PACKAGE, PACKAGE_FILE, REPO, Unusable, read_id

_KEPT_S = 60.0
_PACKAGES_LIMIT = 200
_FILES_LIMIT = 100
_TEXT_LIMIT = 1000
_FIELDS = (
    *("package", "distroversion", "version", "type", "arch", "file", "sha256", "created"),
    *("failed_at", "deprocated_at"),
)
"""What is read of a record; nothing else is remembered, however much the server tells."""

RawRecords = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ToldFiles:
    """What the server said of the files of some packages: URI → raw record; `asked_at`: when it was asked."""

    wanted: RawRecords
    deprecated: RawRecords
    asked_at: float

    async def get_records(self, ids: Sequence[str], *, bulk: bool) -> RawRecords:
        """Give the raw records of some ids, as the server would."""
        del bulk
        uris = [f"{PACKAGE_FILE}:{number}:" for number in ids]
        both = {**self.wanted, **self.deprecated}
        return {uri: both[uri] for uri in uris if uri in both}


@dataclass(frozen=True, slots=True)
class _Told:
    files: ToldFiles
    heard: float


class ToldPackages:
    """What the server said, by repository and package."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str], _Told] = {}

    def clear(self) -> None:
        """Forget everything: what a repository wants may have changed altogether."""
        self._told.clear()

    def hear(self, changed: Mapping[str, Collection[str] | None], records: object, asked_at: float) -> None:
        """Take in an answer.

        Args:
            changed: Repository → the packages that changed; None: any.
            records: The records that came with it, unchecked.
            asked_at: When the server was asked, in epoch seconds.
        """
        # What was said before about anything that the answer names no longer holds.
        for repo, packages in changed.items():
            for known in [known for known in self._told if known[0] == repo]:
                if packages is None or known[1] in packages:
                    del self._told[known]
        now = self._clock()
        self._told = {key: told for key, told in self._told.items() if now - told.heard < _KEPT_S}
        for repo, packages in changed.items():
            files = _read_repo(_member(records, f"{REPO}:{repo}:"), packages or (), asked_at)
            if len(self._told) + len(files) <= _PACKAGES_LIMIT:
                self._told |= {(repo, package): _Told(told, now) for package, told in files.items()}

    def take(self, repo: str, packages: Collection[str] | None) -> ToldFiles | None:
        """Take what was said of some packages of a repository; None where it isn't known of all of them.

        Args:
            repo: The name of the repository.
            packages: The names of the packages; None for all.
        """
        if not packages:
            return None
        since = self._clock() - _KEPT_S
        found = [self._told.pop((repo, package), None) for package in packages]
        told = [one.files for one in found if one is not None and one.heard > since]
        if len(told) < len(packages):
            return None
        wanted = {uri: record for files in told for uri, record in files.wanted.items()}
        deprecated = {uri: record for files in told for uri, record in files.deprecated.items()}
        return ToldFiles(wanted, deprecated, min(files.asked_at for files in told))


def _read_repo(told: object, packages: Collection[str], asked_at: float) -> dict[str, ToldFiles]:
    files: dict[str, ToldFiles] = {}
    for package in packages:
        by_kind = _member(told, package)
        wanted = _read_records(_member(by_kind, "wanted"), package)
        deprecated = _read_records(_member(by_kind, "deprocated"), package)
        if wanted is not None and deprecated is not None and not wanted.keys() & deprecated.keys():
            files[package] = ToldFiles(wanted, deprecated, asked_at)
    return files


def _read_records(value: object, package: str) -> RawRecords | None:
    """Give the records by URI; None where they are not what the server says of files of this package."""
    if not isinstance(value, dict) or len(value) > _FILES_LIMIT:
        return None
    records: dict[str, Mapping[str, Any]] = {}
    for uri, record in value.items():
        try:
            read_id(uri, PACKAGE_FILE)
        except Unusable:
            return None
        if _member(record, "package") != f"{PACKAGE}:{package}:":
            return None
        records[uri] = {field: record[field] for field in _FIELDS if field in record}
        # Longer ones, and those of other types, can't be used; the answer to a question of its own tells that.
        if not all(
            text is None or (isinstance(text, str) and len(text) <= _TEXT_LIMIT) for text in records[uri].values()
        ):
            return None
    return records


def _member(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None
