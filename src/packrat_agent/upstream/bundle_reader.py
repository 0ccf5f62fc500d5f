"""Takes a bundle apart: many package files in one answer. It is not trusted, and neither is a byte of a file in it.

    {"looked_at": 3, "files": [["/api/v2/Package/PackageFile:7:", 1512], ["/api/v2/Package/PackageFile:9:", 840]]}\\n
    the 1512 bytes of the one, and the 840 bytes of the other

1. `looked_at`: the number of files that the answer covers, from the first one that was asked for on; at least one. The
   server left out those of them that it does not list; the agent asks for them one by one.
2. The files are some of these, in the order in which they were asked for, so each comes once.
3. Memory holds the head of the answer, of a bounded size, and what has come of one file.

Usage:

    reader = BundleReader("CALL … at https://packrat.example.com", uris)
    for chunk in chunks:
        for uri, content in reader.feed(chunk): ...
    reader.end()
"""

from collections.abc import Sequence
from typing import Any

from packrat_core.cinp.limits import Bounds, parse_json
from packrat_core.errors import ServerBroken, ServerUnavailable

FILE_LIMIT = 1024 * 1024
"""The largest file that may come in a bundle; packrat-server puts none of more than 128 KiB into one."""
_BUNDLE_LIMIT = 16 * 1024 * 1024
_HEAD = Bounds(64 * 1024, 2000, 1000)
_HINT = "look at the server, and at what stands in front of it"


class BundleReader:
    """Reads one bundle; any error means that nothing more of it can be used."""

    def __init__(self, what: str, asked: Sequence[str]) -> None:
        """Begin.

        Args:
            what: Names the request and the server in messages.
            asked: The URIs that were asked for, each once.
        """
        self._what = what
        self._asked = {uri: number for number, uri in enumerate(asked)}
        self._data = bytearray()
        self._searched = 0
        self._listed: list[tuple[str, int]] | None = None
        self._next = 0
        self.looked_at = 0
        """How many files the answer covers; 0 until its head has arrived."""

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        """Take some more bytes, and give the files that are complete now: URI and content.

        Raises:
            ServerBroken: That is not a bundle of what was asked for.
        """
        self._data += chunk
        if self._listed is None:
            self._listed = self._find_head()
        if self._listed is None:
            return []
        found: list[tuple[str, bytes]] = []
        at = 0
        with memoryview(self._data) as data:
            for uri, size in self._listed[self._next :]:
                if at + size > len(data):
                    break
                found.append((uri, bytes(data[at : at + size])))
                at += size
        self._next += len(found)
        del self._data[:at]
        if self._data and self._next == len(self._listed):
            raise self._broken("more than it lists")
        return found

    def end(self) -> None:
        """Check that the last file is complete, too.

        Raises:
            ServerUnavailable: It is not.
        """
        if self._listed is None or self._next < len(self._listed):
            raise ServerUnavailable(f"{self._what} ended before its last file", hint=_HINT)

    def _find_head(self) -> list[tuple[str, int]] | None:
        end = self._data.find(b"\n", self._searched)
        self._searched = len(self._data)
        if max(end, self._searched if end < 0 else 0) > _HEAD.size:
            raise self._broken(f"a list of files of more than {_HEAD.size} bytes")
        if end < 0:
            return None
        head = self._data[:end]
        del self._data[: end + 1]
        try:
            value = parse_json(head, _HEAD)
        except (ValueError, RecursionError):
            raise self._broken("something that is not a bundle of files") from None
        if not isinstance(value, dict) or not isinstance(value.get("files"), list):
            raise self._broken("something that is not a bundle of files")
        self.looked_at = self._read_looked_at(value.get("looked_at"))
        return self._read_listed(value["files"])

    def _read_looked_at(self, value: Any) -> int:
        # If it covers none, the same request would be repeated for ever.
        if type(value) is not int or not min(1, len(self._asked)) <= value <= len(self._asked):
            raise self._broken(f"{str(value)[:20]!r} in place of how many files it speaks of")
        return value

    def _read_listed(self, entries: list[Any]) -> list[tuple[str, int]]:
        listed: list[tuple[str, int]] = []
        last, total = -1, 0
        for entry in entries:
            uri, size = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
            if not isinstance(uri, str) or not last < self._asked.get(uri, -1) < self.looked_at:
                raise self._broken(f"a file that was not asked for, or not in this place: {str(uri)[:100]!r}")
            if type(size) is not int or not 0 <= size <= FILE_LIMIT:
                raise self._broken(f"a file of {str(size)[:20]} bytes")
            last, total = self._asked[uri], total + size
            listed.append((uri, size))
        if total > _BUNDLE_LIMIT:
            raise self._broken(f"a bundle of {total} bytes")
        return listed

    def _broken(self, found: str) -> ServerBroken:
        return ServerBroken(f"{self._what} answered with {found}", hint=_HINT)
