"""Writes runs of an index's packages to disk as shards, each with its compressed forms, and reads them back."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

import structlog

from packrat_agent.formats.compress import Coding, Piece
from packrat_agent.formats.interface import ChunkCache
from packrat_agent.model.entries import Entry
from packrat_agent.state.scratch import Extent, Region

log = structlog.get_logger()

_AT_ONCE = 16
"""Number of shards that are compressed side by side, and then written behind each other."""
_THREADS = 2
_ALONE_BYTES = 512 * 1024
"""A change of this size or less, such as that of one package, is compressed without other threads."""
_LENGTH_BYTES = 8

Key = tuple[str, str, str]
"""Name, version and architecture of a package, as they are inside the file."""
Texts = tuple[bytes, ...]
"""What each file of an index says of one package."""


class Record(NamedTuple):
    """One entry of an index; records sort by package, those of one package from the oldest to the newest."""

    key: Key
    order: tuple[int, str]
    sha256: str
    file_name: str
    texts: Texts

    @classmethod
    def of(cls, entry: Entry, texts: Texts = ()) -> "Record":
        """Make the record of an entry."""
        file = entry.file
        return cls(key_of(entry), file.record_order, file.sha256, file.file_name, texts)

    @property
    def identity(self) -> tuple[Key, str]:
        """The package and the URI, which tell it from all others."""
        return self.key, self.order[1]


@dataclass(frozen=True, slots=True)
class WrittenShard:
    """A shard on disk: where its rows, its texts in each file and their compressed forms stand.

    start: the key of its first package. count: the number of its packages. packed: for each file and coding the extent,
    and what the end of the compressed file says of it.
    """

    start: Key
    count: int
    rows: Extent
    texts: tuple[Extent, ...]
    packed: tuple[tuple[tuple[Extent, bytes], ...], ...]


def key_of(entry: Entry) -> Key:
    """Name the package of an entry."""
    fragment = entry.fragment
    return fragment.name, fragment.version, fragment.arch


class ShardWriter:
    """Takes records in order, and cuts them into shards."""

    def __init__(
        self,
        region: Region,
        chunks: ChunkCache,
        codings: Sequence[Coding],
        begins_shard: Callable[[Key, int], bool],
        tells: Callable[[Key], bool],
    ) -> None:
        """Make a writer that has nothing yet.

        Args:
            region: Where the shards are written.
            chunks: The cache of compressed shards.
            codings: How each file is compressed.
            begins_shard: Whether a shard begins at a package, given the number of packages in the shard before it.
            tells: Whether the log names a package of which several files are wanted.
        """
        self._region = region
        self._chunks = chunks
        self._codings = codings
        self._begins_shard = begins_shard
        self._tells = tells
        # The packages of the shard that is being filled, each with its records.
        self._run: list[list[Record]] = []
        self._waiting: list[list[list[Record]]] = []
        self._written: list[WrittenShard] = []

    def add(self, record: Record) -> None:
        """Add a record that follows the last one."""
        if self._run and self._run[-1][0].key == record.key:
            self._run[-1].append(record)
            return
        if self._run and self.begins(record.key):
            self._end_run()
        self._run.append([record])

    def begins(self, key: Key) -> bool:
        """Tell whether a shard begins at a package that follows the last one."""
        return not self._run or self._begins_shard(key, len(self._run))

    def end(self) -> list[WrittenShard]:
        """Write what is left, and give all shards."""
        if self._run:
            self._end_run()
        self._write()
        return self._written

    def _end_run(self) -> None:
        for records in self._run:
            _tell_duplicate(records, self._tells)
        self._waiting.append(self._run)
        self._run = []
        if len(self._waiting) == _AT_ONCE:
            self._write()

    def _write(self) -> None:
        runs, self._waiting = self._waiting, []
        if not runs:
            return
        # Newest record last: it is the one that counts.
        columns = [list(zip(*(records[-1].texts for records in run), strict=True)) for run in runs]
        plain = [[b"".join(column) for column in of_run] for of_run in columns]
        # The pieces of all files of the first run, then those of the second: `number * files + file` finds one.
        pieces = self._compress(list(chain.from_iterable(plain)))
        files = len(plain[0])
        # What is read together is written together.
        rows = self._region.add_all(map(_write_rows, runs))
        texts = [self._region.add_all(of_run[file] for of_run in plain) for file in range(files)]
        packed = [
            [
                self._region.add_all(pieces[number * files + file][coding].data for number in range(len(runs)))
                for coding in range(len(self._codings))
            ]
            for file in range(files)
        ]
        for number, run in enumerate(runs):
            made = tuple(
                tuple(
                    (packed[file][coding][number], pieces[number * files + file][coding].record)
                    for coding in range(len(self._codings))
                )
                for file in range(files)
            )
            places = tuple(of_file[number] for of_file in texts)
            self._written.append(WrittenShard(run[0][0].key, len(run), rows[number], places, made))

    def _compress(self, texts: Sequence[bytes]) -> list[list[Piece]]:
        """Give the pieces of each text, one a coding; what is empty has no piece in a file."""
        digests = [hashlib.sha256(text).hexdigest() for text in texts]
        jobs = [(coding, number) for number in range(len(texts)) for coding in self._codings if texts[number]]
        found = {job: self._chunks.get(job[0].name, digests[job[1]]) for job in jobs}
        missing = [job for job, chunk in found.items() if chunk is None]

        def pack(job: tuple[Coding, int]) -> bytes:
            return job[0].pack(texts[job[1]])

        if sum(len(texts[number]) for _, number in missing) > _ALONE_BYTES:
            # Threads help here, because zlib and lzma release the GIL.
            with ThreadPoolExecutor(_THREADS) as threads:
                made = list(threads.map(pack, missing))
        else:
            made = [pack(job) for job in missing]
        for job, chunk in zip(missing, made, strict=True):
            self._chunks.put(job[0].name, digests[job[1]], chunk)
            found[job] = chunk

        def piece(coding: Coding, number: int) -> Piece:
            chunk = found.get((coding, number))
            return Piece(b"", b"") if chunk is None else coding.piece(chunk)

        return [[piece(coding, number) for coding in self._codings] for number in range(len(texts))]


def read_shard(region: Region, rows: Extent, texts: Sequence[Extent]) -> list[Record]:
    """Read the records of a shard.

    Args:
        region: Where it stands.
        rows: The extent of its rows.
        texts: Those of its texts in each file.
    """
    data = bytes(region.read([rows]))
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    listed = json.loads(data[_LENGTH_BYTES:end])
    plain = [bytes(region.read([extent])) for extent in texts]
    shown, hidden = [0] * len(plain), end
    records = []
    for name, version, arch, uri, sha256, file_name, is_shown, sizes in listed:
        if is_shown:
            of_record = tuple(text[at : at + size] for text, at, size in zip(plain, shown, sizes, strict=True))
            shown = [at + size for at, size in zip(shown, sizes, strict=True)]
        else:
            ends = list(accumulate(sizes, initial=hidden))
            of_record = tuple(data[at:to] for at, to in pairwise(ends))
            hidden = ends[-1]
        records.append(Record((name, version, arch), (len(uri), uri), sha256, file_name, of_record))
    return records


def _write_rows(run: Sequence[Sequence[Record]]) -> bytes:
    """Write all that a shard's texts don't say; the texts of records that don't count stand behind it."""
    rows = []
    hidden: list[bytes] = []
    for records in run:
        for record in records:
            is_shown = record is records[-1]
            uri, sizes = record.order[1], [len(text) for text in record.texts]
            rows.append([*record.key, uri, record.sha256, record.file_name, is_shown, sizes])
            if not is_shown:
                hidden += record.texts
    listed = json.dumps(rows).encode()
    return len(listed).to_bytes(_LENGTH_BYTES, "little") + listed + b"".join(hidden)


def _tell_duplicate(records: Sequence[Record], tells: Callable[[Key], bool]) -> None:
    key = records[0].key
    if len(records) > 1 and len({record.sha256 for record in records}) > 1 and tells(key):
        log.warning("duplicate", package=key[0], version=key[1], arch=key[2], kept=records[-1].file_name)
