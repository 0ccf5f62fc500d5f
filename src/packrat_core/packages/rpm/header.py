"""Reads the headers at the front of an .rpm, trusting nothing in them: rpm must be able to read every entry.

1. An entry lies inside the store, behind the one before it, where a value of its type may begin.
2. The values of all entries are all of the store, but for the end of the region: rpm adds up how long they are.
3. A tag has a type that rpm reads under it.

Source: rpm.org, "RPM V4 Package format"; LSB Core, "Package File Format".
"""

import os
import struct
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from packrat_core.errors import Damaged, Refused
from packrat_core.packages.rpm.tag_types import check_tag_types
from packrat_core.packages.rpm.tags import SIGNATURE_LONG_SIZE, SIGNATURE_SIZE

LEAD_BYTES = 96

HEADER_LIMIT = 64 * 1024 * 1024
"""Bytes of a header's store; a package with 20,000 files has about four million."""

_ENTRIES_LIMIT = 10_000
_COUNT_LIMIT = 500_000
_LEAD_MAGIC = b"\xed\xab\xee\xdb"
_SIGNATURE_TYPE = b"\0\x05"
"""In the lead: the signatures are in a header of their own."""
_MAGIC = b"\x8e\xad\xe8\x01" + bytes(4)
_IMAGE, _SIGNATURES, _IMMUTABLE = 61, 62, 63
"""Tags of regions: what is hashed or signed of a header. Early packages end that of signatures by the first."""
_FIRST_TAG = 100
_ENTRY = struct.Struct(">iIII")
"""rpm reads the tag as a signed number."""
_TAG_AND_TYPE = struct.Struct(">II8x")
_REGION_BYTES = 16
"""The end of a region, somewhere in the store."""

INT16, INT32, INT64, STRING, BINARY, STRINGS, I18N = 3, 4, 5, 6, 7, 8, 9
_WIDTH = {1: 1, 2: 1, INT16: 2, INT32: 4, INT64: 8, BINARY: 1}
"""Type → bytes of a value, to a multiple of which it is aligned; texts have no such width."""
_TEXTS = (STRING, STRINGS, I18N)


class Item(NamedTuple):
    """An entry of a header: its type, its number of values, and the part of the store that it may use.

    A named tuple, since an rpm has some fifty, and making a frozen dataclass takes several times as long.
    """

    kind: int
    start: int
    end: int
    number: int


@dataclass(frozen=True, slots=True)
class Header:
    """A header structure.

    Attributes:
        blob: its bytes as they are in the file.
        store: the offset of its store in `blob`.
        items: tag → entry; offsets are relative to the store.
    """

    blob: bytes
    store: int
    items: Mapping[int, Item]

    def texts(self, tag: int) -> list[bytes]:
        """Return the strings under a tag; none if it is missing or is not text."""
        item = self.items.get(tag)
        if item is None or item.kind not in _TEXTS:
            return []
        # What follows the last one may be millions of NUL bytes.
        return self.blob[self.store + item.start : self.store + item.end].split(b"\0", item.number)[: item.number]

    def text(self, tag: int) -> bytes | None:
        """Return the first string under a tag; None if there is none."""
        return next(iter(self.texts(tag)), None)

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the integers under a tag; none if it is missing or is not of integers."""
        item = self.items.get(tag)
        letter = {INT16: "H", INT32: "I", INT64: "Q"}.get(item.kind) if item is not None else None
        if item is None or letter is None:
            return ()
        return struct.unpack_from(f">{item.number}{letter}", self.blob, self.store + item.start)

    def binary(self, tag: int) -> bytes | None:
        """Return the bytes under a tag; None if it is missing or is not binary."""
        item = self.items.get(tag)
        if item is None or item.kind != BINARY:
            return None
        return self.blob[self.store + item.start : self.store + item.start + item.number]

    def data(self, tag: int) -> bytes:
        """Return the values under a tag as they are stored; empty if it is missing."""
        item = self.items.get(tag)
        if item is None:
            return b""
        if item.kind in _TEXTS:
            return b"".join(text + b"\0" for text in self.texts(tag))
        start = self.store + item.start
        return self.blob[start : start + item.number * _WIDTH[item.kind]]


@dataclass(frozen=True, slots=True)
class RpmFile:
    """The front of an .rpm: the header is at the offsets from `start` to `end`, and the payload follows it."""

    front: bytes
    signature: Header
    header: Header
    start: int
    end: int


def walk(file: BinaryIO) -> RpmFile:
    """Read lead, signature header and header.

    Raises:
        Refused: the file is not a binary or source .rpm, is damaged, or has a header that points outside itself.
    """
    lead = file.read(LEAD_BYTES)
    if lead[:4] != _LEAD_MAGIC:
        raise Refused("it is not an .rpm: the lead is missing")
    if len(lead) != LEAD_BYTES or lead[4] not in (3, 4) or lead[78:80] != _SIGNATURE_TYPE:
        raise Damaged("it is damaged, or an .rpm of an unknown format version")
    signature = _read_header(file, "signature header", _SIGNATURES)
    # Only the signature header is padded, to a multiple of 8 bytes.
    padding = _read(file, -len(signature.blob) % 8)
    header = _read_header(file, "header", _IMMUTABLE)
    start = LEAD_BYTES + len(signature.blob) + len(padding)
    size = os.fstat(file.fileno()).st_size
    announced = signature.numbers(SIGNATURE_SIZE) or signature.numbers(SIGNATURE_LONG_SIZE)
    if announced and size < start + announced[0]:
        raise Damaged(f"it is damaged: {start + announced[0]} bytes are announced, {size} are there")
    front = b"".join((lead, signature.blob, padding, header.blob))
    return RpmFile(front, signature, header, start, start + len(header.blob))


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise Damaged("it is damaged: the file ends inside a header")
    return data


def _read_header(file: BinaryIO, name: str, region: int) -> Header:
    """Read one of the two headers.

    Args:
        file: the .rpm, which stands at the header.
        name: what the header is called.
        region: the tag of its region.

    Raises:
        Refused: rpm can't read it.
    """
    intro = _read(file, 16)
    if intro[:8] != _MAGIC:
        raise Damaged(f"it is damaged: its {name} is missing")
    entries, size = struct.unpack(">II", intro[8:])
    if not 0 < entries <= _ENTRIES_LIMIT:
        raise Refused(f"its {name} has {entries} entries, the limit is {_ENTRIES_LIMIT}")
    if size > HEADER_LIMIT:
        raise Refused(f"its {name} has {size} bytes, the limit is {HEADER_LIMIT}")
    blob = intro + _read(file, 16 * entries + size)
    has_region = struct.unpack_from(">I", blob, 16)[0] == region
    if has_region and not _is_region(blob, entries, size, region):
        raise Refused(f"its {name} is broken: its region is not marked as it should be")
    items = _items(blob, entries, size, name, first=int(has_region))
    # rpm checks types only where a region says that all of it is hashed; the signature header has other tags.
    if has_region and region == _IMMUTABLE:
        check_tag_types(_TAG_AND_TYPE.iter_unpack(blob[16 : 16 + 16 * entries]))
    return Header(blob, 16 + 16 * entries, items)


def _is_region(blob: bytes, entries: int, size: int, region: int) -> bool:
    """Tell whether the first entry of a header and the end of the region that it names fit together, as rpm does.

    Args:
        blob: the header.
        entries: how many entries it has.
        size: bytes of its store.
        region: the tag of its region.
    """
    _, kind, offset, count = struct.unpack_from(">IIII", blob, 16)
    if (kind, count) != (BINARY, 16) or offset + 16 > size:
        return False
    tag, kind, back, count = struct.unpack_from(">IIiI", blob, 16 + 16 * entries + offset)
    is_named = tag == region or (region == _SIGNATURES and tag == _IMAGE)
    # The end tells how many entries are in the region, by their bytes before it.
    return is_named and (kind, count) == (BINARY, 16) and -back % 16 == 0 and 0 <= -back // 16 <= entries


def _items(blob: bytes, entries: int, size: int, name: str, *, first: int) -> dict[int, Item]:
    """Check each entry, and that there is nothing between them, as rpm does.

    Args:
        blob: the header.
        entries: how many entries it has.
        size: bytes of its store.
        name: what the header is called.
        first: the number of the first entry that is not that of the region, which counts differently.
    """
    store = 16 + 16 * entries
    raw = list(_ENTRY.iter_unpack(blob[16:store]))
    bounds = sorted({offset for _, _, offset, _ in raw} | {size})
    binary_limit = max(_COUNT_LIMIT, size)
    items: dict[int, Item] = {}
    # A region's end is a multiple of all widths, so it may count first wherever it stands.
    done, filled = 0, _REGION_BYTES * first
    for tag, kind, offset, count in raw[first:]:
        if tag < _FIRST_TAG:
            raise Refused(f"its {name} is broken: tag {tag} is not there")
        limit = binary_limit if kind == BINARY else _COUNT_LIMIT
        if not 0 < kind <= I18N or not 0 < count <= limit or not done <= offset < size:
            raise Refused(f"its {name} is broken: tag {tag} has type {kind}, {count} values at {offset}")
        end, width = bounds[bisect_right(bounds, offset)], _WIDTH.get(kind, 1)
        if kind == STRING:
            length = blob.find(b"\0", store + offset, store + end) + 1 - store - offset if count == 1 else 0
            done = offset + 1
        elif kind in _TEXTS:
            length = _length_of_texts(blob, store + offset, store + end, count)
            done = offset + 1
        else:
            length = count * width
            done = offset + length
        if not 0 < length <= end - offset:
            raise Refused(f"its {name} is broken: the values of tag {tag} lie outside it")
        if offset % width:
            raise Refused(f"its {name} is broken: the values of tag {tag} are not aligned")
        if tag in items:
            raise Refused(f"its {name} has tag {tag} twice")
        items[tag] = Item(kind, offset, end, count)
        filled += -filled % width + length
    if filled != size:
        raise Refused(f"its {name} is broken: its values fill {filled} of {size} bytes, so rpm can't read it")
    return items


def _length_of_texts(blob: bytes, start: int, end: int, count: int) -> int:
    """Return how many bytes a list of texts has, each with its NUL; 0 where there are not as many.

    Args:
        blob: the header.
        start: where the first one begins.
        end: where the next entry begins.
        count: how many there should be.
    """
    more = blob.count(b"\0", start, end) - count
    if more < 0:
        return 0
    # What aligns the next entry are up to 7 NUL bytes behind the last text; splitting long lists takes far longer.
    if more > 7:
        return end - start - len(blob[start:end].split(b"\0", count)[-1])
    at = blob.rfind(b"\0", start, end)
    for _ in range(more):
        at = blob.rfind(b"\0", start, at)
    return at + 1 - start
