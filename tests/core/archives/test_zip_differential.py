"""Whatever zip archive we accept, zipfile reads the same in it, and so does who reads it from front to back."""

import io
import re
import struct
from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from core.archives.zip_parts import Entry, pack, patched, read_forward, read_ours, read_theirs, written_by_zipfile
from packrat_core.archives.zip_archive import ZipArchive, ZipMember
from packrat_core.errors import Refused

REASONS = re.compile(
    "|".join(
        [
            # Bytes that zipfile passes over, others don't.
            "bytes before|bytes follow|belong to nothing|overlaps",
            # What only one of the two headers says, or the numbers that zipfile doesn't look at.
            "disagree|members? and says|several parts|two ends|zip64|is broken|cut off|extra field|another name",
            "ends too early|points outside|not a zip archive",
            # Members that harm, or that no client of ours needs.
            "impossible name|absolute name|leads out|a link or device|encrypted|can't read|not UTF-8|method \\d+",
            # Payload that zipfile doesn't check, and bombs.
            "bytes after the end of its deflate|has no end|not a valid deflate|not as long",
            "bomb|unpacks to more|the limit is",
        ]
    )
)


def compare(archive: bytes) -> None:
    """Accepted: all read the same. Refused: the reason is one of those above."""
    try:
        ours = read_ours(archive)
    except Refused as refused:
        assert REASONS.search(str(refused)), refused
        return
    assert ours == read_theirs(archive)
    assert read_forward(archive) in (None, ours)


@settings(deadline=None)
@given(written_by_zipfile())
def test_archives_of_zipfile_are_read_whole(archive: bytes) -> None:
    assert read_ours(archive) == read_theirs(archive)


@settings(max_examples=300, deadline=None)
@given(written_by_zipfile(), st.data())
def test_changed_archives_are_read_alike_or_refused(archive: bytes, draw: st.DataObject) -> None:
    data = bytearray(archive)
    directory = archive.find(b"PK\1\2")
    places = st.integers(0, len(data) - 1) | st.integers(max(0, len(data) - 90), len(data) - 1)
    if directory >= 0:
        places |= st.integers(directory, min(len(data) - 1, directory + 60))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(places)] = draw.draw(st.integers(0, 255) | st.sampled_from([0, 1, 8, 0xFF]))
    compare(bytes(data[: draw.draw(st.just(len(data)) | st.integers(0, len(data)))]))


FIELDS = {4: 2, 6: 2, 8: 2, 14: 4, 18: 4, 22: 4, 26: 2, 28: 2}
"""Offsets and widths of the fields of a local header; those of the directory stand two bytes further."""


@st.composite
def made_of_parts(draw: st.DrawFn) -> bytes:
    """Archives that are sound, or nearly so: a few fields are something else, in one header or in both."""
    entries = []
    values = st.sampled_from([0, 1, 7, 8, 0x800, 45, 0xFFFF, 0xFFFFFFFF])
    extra = struct.pack("<2H2Q", 1, 16, 7, 7), struct.pack("<2H3Q", 1, 24, 7, 7, 0), b"\1", b"\xfe\xca\1\0x"
    descriptor = struct.pack("<3L", 0x45BB1E9B, 7, 7)
    for _ in range(draw(st.integers(0, 3))):
        entry = Entry(
            draw(st.sampled_from([b"a", b"b/", "é".encode(), b"\xff", b"a\0b"])),
            draw(st.sampled_from([b"content", b"", b"PK\3\4", b"\x4b\xce\xcf\x2b\x49\xcd\x2b\1\0"])),
            draw(st.sampled_from([0, 0, 8, 0x800])),
            b"".join(draw(st.lists(st.sampled_from(extra), max_size=2))),
            behind=draw(st.sampled_from([b"", b"", b"x", descriptor, b"PK\7\x08" + descriptor])),
        )
        for at in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=2)):
            patch = (draw(values) % 256 ** FIELDS[at]).to_bytes(FIELDS[at], "little")
            where = draw(st.sampled_from(["local", "central", "both"]))
            if where != "central":
                entry.local[at] = patch
            if where != "local":
                entry.central[at + 2] = patch
        if draw(st.integers(0, 5)) == 0:
            entry.central[42] = struct.pack("<L", draw(st.integers(0, 60)))
        entries.append(entry)
    return pack(*entries, comment=draw(st.sampled_from([b"", b"", b"PK\5\6" + bytes(18)])))


@settings(max_examples=500, deadline=None)
@given(made_of_parts())
def test_any_combination_of_headers_is_read_alike_or_refused(archive: bytes) -> None:
    compare(archive)


def outcome(read: Callable[[], bytes]) -> bytes | str:
    try:
        return read()
    except Refused as refused:
        return str(refused)


def join(archive: ZipArchive, member: ZipMember) -> bytes:
    return b"".join(archive.chunks(member))


@settings(max_examples=500, deadline=None)
@given(written_by_zipfile() | made_of_parts(), st.data())
def test_a_member_that_is_read_at_once_is_read_as_in_chunks(archive: bytes, draw: st.DataObject) -> None:
    data = bytearray(archive)
    end = max(1, archive.find(b"PK\1\2"))
    for _ in range(draw.draw(st.integers(0, 2))):
        data[draw.draw(st.integers(0, min(end, len(data)) - 1))] = draw.draw(st.integers(0, 255))
    try:
        ours = ZipArchive(io.BytesIO(bytes(data)))
    except Refused:
        return
    for member in ours.members:
        # Also what its directory says wrongly.
        unpacked = member.unpacked + draw.draw(st.sampled_from([0, 0, 0, 1, -1, -member.unpacked]))
        told = member._replace(unpacked=max(0, unpacked), method=draw.draw(st.sampled_from([member.method, 8])))
        assert outcome(partial(ours.read, told, 1 << 24)) == outcome(partial(join, ours, told))


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes, end: bytes) -> None:
    compare(data)
    compare(b"PK\3\4" + data + b"PK\5\6" + end)


@settings(max_examples=300, deadline=None)
@given(
    written_by_zipfile(), st.binary(max_size=60), st.dictionaries(st.integers(0, 97), st.binary(max_size=4), max_size=3)
)
def test_an_end_that_is_there_twice_is_read_alike_or_refused(
    archive: bytes, more: bytes, patches: dict[int, bytes]
) -> None:
    at = archive.rindex(b"PK\5\6")
    start = struct.unpack_from("<L", archive, at + 16)[0]
    count = struct.unpack_from("<H", archive, at + 10)[0]
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, at - start, start)
    ends = patched(record + struct.pack("<4sLQL", b"PK\6\7", 0, at, 1) + archive[at:], patches)
    compare(archive[:at] + ends)
    compare(archive[:at] + ends + more)
    compare(archive + more + ends)
