"""The zip reader refuses what is torn, hostile, or read differently by different clients."""

import io
import stat
import struct
import tracemalloc
import zipfile
import zlib

import pytest

from core.archives.zip_parts import Entry, pack, patched, read_forward, read_ours, read_theirs
from packrat_core.archives.limits import MEMBERS_LIMIT
from packrat_core.archives.zip_archive import ZipArchive
from packrat_core.errors import Refused

TWO = pack(Entry(), Entry(b"a/two", b"second"))
CRC = zlib.crc32(b"content")
DESCRIPTOR = struct.pack("<3L", CRC, 7, 7)
DESCRIPTOR_64 = struct.pack("<L2Q", CRC, 7, 7)
ZIP_64 = struct.pack("<2H2Q", 1, 16, 7, 7)
NO_SIZES = b"\xff" * 8
SIGNATURE = b"PK\7\x08"


def unicode_path(name: bytes) -> bytes:
    return struct.pack("<2HBL", 0x7075, 5 + len(name), 1, zlib.crc32(b"a/file")) + name


def with_64(
    directory: bytes = b"", record: dict[int, bytes] | None = None, locator: dict[int, bytes] | None = None
) -> bytes:
    """An archive whose end is also there as zip64."""
    at = TWO.index(b"PK\5\6")
    start = TWO.index(b"PK\1\2")
    fields = 44, 45, 45, 0, 0, 2, 2, at - start, start
    end_64 = patched(struct.pack("<4sQ2H2L4Q", b"PK\6\6", *fields), record or {})
    found = patched(struct.pack("<4sLQL", b"PK\6\7", 0, at, 1), locator or {})
    return TWO[:at] + end_64 + found + patched(TWO[at:], {8: directory})


def hidden_locator() -> bytes:
    """An archive that ends with a zip64 record inside the comment of its last entry, which only some readers see."""
    plain = pack(Entry(), Entry(b"a/two", b"second", central={32: struct.pack("<H", 76)}))
    at = plain.index(b"PK\5\6")
    start = plain.index(b"PK\1\2")
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 52, start)
    comment = record + struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    return plain[:at] + comment + patched(plain[at:], {12: struct.pack("<L", at + 76 - start)})


@pytest.mark.parametrize(
    "archive",
    [
        TWO,
        pack(),
        pack(Entry(b"dir/", b"")),
        pack(Entry(), comment=b"a comment"),
        pack(Entry(flags=8, behind=DESCRIPTOR)),
        pack(Entry(flags=8, behind=SIGNATURE + DESCRIPTOR, local={14: bytes(12)})),
        pack(Entry(flags=8, behind=SIGNATURE + DESCRIPTOR_64, local={14: bytes(12)}), Entry(b"b")),
        pack(Entry(extra=ZIP_64, local={18: NO_SIZES})),
        pack(Entry(extra=ZIP_64, local={18: NO_SIZES}, central={20: NO_SIZES})),
        pack(Entry(extra=unicode_path(b"a/file"))),
        pack(Entry(extra=b"\xfe\xca\0\0")),
        pack(Entry("é".encode(), flags=0x800)),
        pack(Entry("é".encode())),
        with_64(),
        with_64(b"\xff" * 12),
    ],
)
def test_all_dialects_are_read_as_zipfile_reads_them(archive: bytes) -> None:
    ours = read_ours(archive)
    assert ours == read_theirs(archive)
    assert read_forward(archive) in (None, ours)


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (b"", "not a zip archive"),
        (b"PK\3\4" + bytes(40), "not a zip archive"),
        (TWO[:-1], "not a zip archive|bytes follow"),
        (TWO + b"x", "bytes follow"),
        (TWO[:-22], "not a zip archive"),
        (b"#!/bin/sh\n" + TWO, "bytes before"),
        (pack(Entry(), before=b"#!/bin/sh\n"), "bytes before"),
        (pack(before=b"#!/bin/sh\n"), "bytes before"),
        # The end
        (pack(Entry(), end={8: b"\2", 10: b"\2"}), "has 1 member and says 2"),
        (pack(Entry(), Entry(b"b"), end={8: b"\1\0\1\0"}), "has 2 members and says 1"),
        (pack(Entry(), end={8: b"\2"}), "several parts"),
        (pack(Entry(), end={4: b"\1"}), "several parts"),
        (pack(Entry(), end={16: b"\1\0\0\0"}), "bytes before"),
        (pack(Entry(), end={12: NO_SIZES}), "zip64 locator is missing"),
        (pack(Entry(), end={12: NO_SIZES[:4]}), "zip64 locator is missing"),
        (pack(Entry(), end={16: NO_SIZES[:4]}), "zip64 locator is missing"),
        (with_64(record={0: b"PK\6\5"}), "zip64 end of the central directory is missing"),
        (with_64(locator={8: b"\1"}), "zip64 end of the central directory is missing"),
        (with_64(locator={16: b"\2"}), "is broken"),
        (with_64(record={4: b"\x30"}), "is broken"),
        (with_64(record={16: b"\1"}), "several parts"),
        (with_64(record={24: b"\1", 32: b"\1"}), "two ends of its central directory"),
        (with_64(record={40: b"\1"}), "two ends of its central directory"),
        (with_64(record={48: b"\xff" * 8}), "two ends of its central directory"),
        (with_64(b"\xff" * 12, record={48: b"\xff" * 8}), "bytes before"),
        (hidden_locator(), "zip64|two ends"),
        # Entries of the directory
        (pack(Entry(central={0: b"PK\1\3"})), "is broken"),
        (pack(Entry(central={28: b"\xff"})), "is broken"),
        (pack(Entry(central={0: b"PK\1\2"}), end={12: b"\x35"}), "bytes before"),
        (pack(Entry(b"../x")), "leads out"),
        (pack(Entry(b"a\\..\\..\\x")), "leads out"),
        (pack(Entry(b"/x")), "absolute name"),
        (pack(Entry(b"C:/x")), "absolute name"),
        (pack(Entry(b"a\0.py")), "impossible name"),
        (pack(Entry(b"")), "impossible name"),
        (pack(Entry(flags=1)), "encrypted"),
        (pack(Entry(flags=0x40)), "can't read"),
        (pack(Entry(flags=0x2000)), "can't read"),
        (pack(Entry(central={6: b"\x40"})), "can't read"),
        (pack(Entry(central={34: b"\1"})), "can't read"),
        (pack(Entry(central={38: struct.pack("<L", stat.S_IFLNK << 16)})), "a link or device"),
        (pack(Entry(central={38: struct.pack("<L", stat.S_IFIFO << 16)})), "a link or device"),
        (pack(Entry(b"a/\xff", flags=0x800)), "not UTF-8"),
        (pack(Entry(central={20: NO_SIZES})), "zip64 field is missing"),
        (pack(Entry(extra=ZIP_64[:4] + bytes(4), central={20: NO_SIZES})), "extra fields of a member are broken"),
        (pack(Entry(extra=ZIP_64 + ZIP_64)), "extra field twice"),
        (pack(Entry(extra=b"\xfe\xca\xff\0")), "extra fields of a member are broken"),
        (pack(Entry(extra=unicode_path(b"other"))), "another name"),
        # The two headers
        (pack(Entry(local={0: b"PK\3\5"})), "disagree"),
        (pack(Entry(local={30: b"b"})), "disagree"),
        (pack(Entry(local={26: b"\5"})), "disagree"),
        (pack(Entry(local={8: b"\x08"})), "disagree"),
        (pack(Entry(local={14: b"\0\0\0\0"})), "disagree"),
        (pack(Entry(local={18: b"\6"})), "disagree"),
        (pack(Entry(local={22: b"\6"})), "disagree"),
        (pack(Entry(local={14: bytes(12)})), "disagree"),
        (pack(Entry(local={6: b"\1"})), "disagree"),
        (pack(Entry("é".encode(), local={6: b"\0\x08"})), "disagree"),
        (pack(Entry(extra=ZIP_64, local={18: NO_SIZES, 40: b"\6"}, central={20: NO_SIZES})), "disagree"),
        (pack(Entry(extra=ZIP_64[:-1] + b"\1", local={18: NO_SIZES})), "disagree"),
        (pack(Entry(flags=8, behind=DESCRIPTOR, local={14: b"\1\1\1\1"})), "disagree"),
        # Gaps and overlaps
        (pack(Entry(behind=b"x")), "belong to nothing"),
        (pack(Entry(behind=Entry(b"evil").pack(0)[0])), "belong to nothing"),
        (pack(Entry(), between=Entry(b"evil").pack(0)[0]), "belong to nothing"),
        (pack(Entry(flags=8, behind=DESCRIPTOR[:-1] + b"\1")), "belong to nothing"),
        (pack(Entry(flags=8, behind=b"PK\7\7" + DESCRIPTOR)), "belong to nothing"),
        (pack(Entry(), Entry(b"b", central={42: bytes(4)})), "overlaps|disagree"),
        (pack(Entry(), Entry(central={42: bytes(4)})), "overlaps"),
        (pack(Entry(local={18: b"\x64\0\0\0\x64"}, central={20: b"\x64\0\0\0\x64"})), "overlaps"),
        (pack(Entry(local={28: b"\x64"})), "overlaps"),
        (pack(Entry(central={42: b"\1\2\3"})), "bytes before|ends too early"),
        # Bombs
        (pack(Entry(local={22: b"\0\0\0\x20"}, central={24: b"\0\0\0\x20"})), "decompression bomb"),
        (pack(Entry(extra=struct.pack("<2HQ", 1, 8, 1 << 60), central={24: b"\xff" * 4})), "unpacks to more"),
    ],
)
def test_torn_hostile_or_ambiguous_archives_are_refused(archive: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        ZipArchive(io.BytesIO(archive))


@pytest.mark.parametrize(
    ("data", "method", "size", "crc", "reason"),
    [
        (b"content", 0, 7, CRC + 1, "not the same"),
        (b"content", 0, 8, CRC, "not as long"),
        (zlib.compress(b"content")[2:-4], 8, 7, CRC + 1, "not the same"),
        (zlib.compress(b"content")[2:-4], 8, 6, CRC, "not as long"),
        (zlib.compress(b"content")[2:-4], 8, 8, CRC, "not as long"),
        (zlib.compress(b"content")[2:-5], 8, 7, CRC, "has no end"),
        (zlib.compress(b"content")[2:-4] + b"x", 8, 7, CRC, "bytes after the end"),
        (b"\7content", 8, 7, CRC, "not a valid deflate"),
        (b"", 8, 0, 0, "has no end"),
        (b"content", 12, 7, CRC, "method 12"),
        (zlib.compress(bytes(1 << 20))[2:-4], 8, 7, CRC, "not as long"),
    ],
)
def test_damaged_payload_is_found_by_the_deep_check_and_by_reading(
    data: bytes, method: int, size: int, crc: int, reason: str
) -> None:
    fields = struct.pack("<H", method), struct.pack("<L", crc), struct.pack("<L", size)
    local, central = dict(zip((8, 14, 22), fields, strict=True)), dict(zip((10, 16, 24), fields, strict=True))
    archive = ZipArchive(io.BytesIO(pack(Entry(), Entry(b"bad", data, local=local, central=central))))
    assert archive.read(archive.members[0], 7) == b"content"
    with pytest.raises(Refused, match=reason):
        archive.read(archive.members[1], 1 << 20)
    with pytest.raises(Refused, match=reason):
        archive.check_payload()


def test_a_member_is_read_up_to_a_limit() -> None:
    archive = ZipArchive(io.BytesIO(TWO))
    with pytest.raises(Refused, match="7 bytes, the limit is 6"):
        archive.read(archive.members[0], 6)


def test_too_many_members_are_refused_before_they_are_read() -> None:
    count = MEMBERS_LIMIT + 1
    archive = with_64(b"\xff" * 12, record={24: struct.pack("<2Q", count, count)})
    with pytest.raises(Refused, match=f"more than {MEMBERS_LIMIT} members"):
        ZipArchive(io.BytesIO(archive))


def test_a_bomb_of_overlapping_members_is_refused() -> None:
    """All members share the bytes of one."""
    bomb = pack(
        Entry(),
        *(
            Entry(b"a/file", b"", central={20: struct.pack("<2L", 7, 7), 16: struct.pack("<L", CRC), 42: bytes(4)})
            for _ in range(9)
        ),
    )
    with pytest.raises(Refused, match="overlaps"):
        ZipArchive(io.BytesIO(bomb))


def test_a_member_that_unpacks_to_more_than_it_says_is_left_in_little_memory() -> None:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(64 << 20))
    data = output.getvalue()
    start = data.index(b"PK\1\2")
    lying = patched(data, {22: b"\1\0\0\0", start + 24: b"\1\0\0\0"})
    found = ZipArchive(io.BytesIO(lying))
    chunks: list[bytes] = []
    with pytest.raises(Refused, match="not as long"):
        chunks.extend(found.chunks(found.members[0]))
    assert not chunks
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="not as long"):
            ZipArchive(io.BytesIO(lying)).check_payload()
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
