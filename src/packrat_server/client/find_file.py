"""Finds package files by file name through the HTTP API, without reading the records of all files.

1. packrat-server has a filter for the file name.
2. The original server has none. There the file name tells which packages the file may belong to, and their files are
   read.
3. Only if none of these has it although the name is in use, the records of all files are read.
4. What commands are given many names of is found some names at a time, since a request for each record takes longer
   than to change the file.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import structlog

from packrat_core.aio.workers import run_workers
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.refusals import SessionEnded
from packrat_core.errors import ServerBroken, ServerRefused

log = structlog.get_logger()

ROOT = "/api/v2/"
PACKAGE_FILE = f"{ROOT}Package/PackageFile"
_PACKAGE = f"{ROOT}Package/Package"
_FILTER = "file_name"
_NOT_IN_PACKAGE_NAME = re.compile(r"[^0-9A-Za-z_-]+")
_PACKAGES_TRIED = 20
_EPOCH = re.compile(r"_\d+(?:%3[aA]|:)")
"""An epoch, as apt puts it into the names of files that it downloads."""
_RECORDS_AT_ONCE = 2000
_NAMES_AT_ONCE = 3
"""The original server has three workers."""
_URI = re.compile(rf"{PACKAGE_FILE}:\d+:")

Records = dict[str, Mapping[str, Any]]


class FileFinder:
    """Finds files on one server, and remembers whether the server has the filter."""

    def __init__(self, client: CinpClient) -> None:
        self._client = client
        self._has_filter: bool | None = None

    async def find(self, file_name: str) -> Records:
        """Find the package files of that name, in the order they were made: URI → record.

        Raises:
            SessionEnded: The session is over.
            ServerRefused: The user may not see package files.
            ServerUnavailable: The server can't be reached.
            ServerBroken: An answer is not what the protocol says.
        """
        if await self._filters():
            uris = await self._client.list_uris(PACKAGE_FILE, _FILTER, {_FILTER: file_name})
            return await self._read(uris, file_name)
        for package in possible_packages(file_name):
            if found := await self._read(await self._files_of(package), file_name):
                return found
        if not await self._client.call(f"{PACKAGE_FILE}(filenameInUse)", {"file_name": file_name}, repeatable=True):
            return {}
        uris = await self._client.list_uris(PACKAGE_FILE, None, {})
        log.info("searching", file=file_name, records=len(uris), text="the server has no filter for file names")
        return await self._read(uris, file_name)

    async def find_each(self, names: Collection[str]) -> dict[str, Records]:
        """Find the package files of each of some names or URIs; leaves out what is not found like that.

        Args:
            names: As many as may be held in memory.

        Raises:
            SessionEnded: The session is over.
            ServerUnavailable: The server can't be reached.
            ServerBroken: The answer to a LIST is not what the protocol says.
        """
        listed = {name: [name] for name in names if _URI.fullmatch(name)}
        waiting = [name for name in names if name not in listed] if await self._filters() else []

        async def work() -> None:
            while waiting:
                name = waiting.pop()
                listed[name] = await self._list(without_epoch(name))

        await run_workers(work, min(_NAMES_AT_ONCE, len(waiting)))
        ids = sorted({_number(uri) for uris in listed.values() for uri in uris})
        try:
            records = await self._client.get_many(PACKAGE_FILE, list(map(str, ids)))
        except SessionEnded:
            raise
        except (ServerRefused, ServerBroken):
            # The records of all together may be larger than an answer may be; that of each is not.
            return {}
        found = {
            name: {
                uri: records[uri]
                for uri in sorted(uris, key=_number)
                if records.get(uri) and (uri == name or _is_called(records[uri], without_epoch(name)))
            }
            for name, uris in listed.items()
        }
        return {name: files for name, files in found.items() if files}

    async def _list(self, file_name: str) -> list[str]:
        """List the package files of a name by the filter; nothing where the server refuses that."""
        try:
            return await self._client.list_uris(PACKAGE_FILE, _FILTER, {_FILTER: file_name})
        except SessionEnded:
            raise
        except ServerRefused:
            return []

    async def _filters(self) -> bool:
        if self._has_filter is None:
            described = await self._client.describe(PACKAGE_FILE)
            filters = described.get("list-filters")
            self._has_filter = isinstance(filters, dict) and _FILTER in filters
        return self._has_filter

    async def _files_of(self, package: str) -> list[str]:
        try:
            return await self._client.list_uris(PACKAGE_FILE, "package", {"package": f"{_PACKAGE}:{package}:"})
        except SessionEnded:
            raise
        except ServerRefused:
            # There is no package of that name.
            return []

    async def _read(self, uris: Sequence[str], file_name: str) -> Records:
        """Read the records in portions, since all may be too many for memory, and keep those of that name."""
        ids = sorted({_number(uri) for uri in uris})
        found: Records = {}
        for start in range(0, len(ids), _RECORDS_AT_ONCE):
            portion = [str(number) for number in ids[start : start + _RECORDS_AT_ONCE]]
            for uri, record in (await self._client.get_many(PACKAGE_FILE, portion)).items():
                if _is_called(record, file_name):
                    found[uri] = record
        return dict(sorted(found.items(), key=lambda pair: _number(pair[0])))


def _is_called(record: Mapping[str, Any], file_name: str) -> bool:
    return unquote(str(record.get("file")).rpartition("/")[2]) == file_name


def without_epoch(file_name: str) -> str:
    """Take the epoch that apt puts into the names of downloaded files out of one."""
    return _EPOCH.sub("_", file_name)


def possible_packages(file_name: str) -> list[str]:
    """List the packages that a file may belong to: what stands before each `_` and `-` of its name."""
    found = []
    for separator in re.finditer("[_-]", file_name):
        before = file_name[: separator.start()]
        found += [before, _NOT_IN_PACKAGE_NAME.sub("-", before)]
    return list(dict.fromkeys(name for name in found if name))[:_PACKAGES_TRIED]


def _number(uri: str) -> int:
    number = uri.rpartition(":")[0].rpartition(":")[2]
    # int() would take a number of any length from a hostile server.
    return int(number) if number.isascii() and number.isdigit() and len(number) < 18 else 0
