"""The gzip reader gives what Python's gzip gives, or refuses; a torn or changed file is never read as whole."""

import gzip
import io
import re
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_core.archives.gzip_stream import GzipStream, check_gzip_payload
from packrat_core.errors import Refused

TEXT = b"one\n" * 300
ONE = gzip.compress(TEXT, mtime=0)
LARGE = (bytes(range(256)) * 4096, gzip.compress(bytes(range(256)) * 4096, 1))

REASONS = re.compile(
    # Python doesn't check the checksum of a header, and ignores reserved flags.
    "header crc mismatch|unknown header flags"
    # Python reads on after padding.
    "|bytes after the padding"
)


def read(data: bytes) -> bytes:
    stream = GzipStream(io.BytesIO(data))
    plain = b"".join(iter(lambda: stream.read(1000), b""))
    assert check_gzip_payload(io.BytesIO(data)) == len(plain)
    return plain


def compare(data: bytes) -> None:
    try:
        theirs: bytes | None = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        theirs = None
    try:
        ours = read(data)
    except Refused as refused:
        assert theirs is None or REASONS.search(str(refused)) or not data, refused
        return
    assert ours == theirs


@settings(deadline=None)
@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.integers(0, 9), st.integers(0, 1000))
def test_members_follow_each_other_and_may_be_padded(parts: list[bytes], level: int, padding: int) -> None:
    data = b"".join(gzip.compress(part, level) for part in parts) + bytes(padding)
    assert read(data) == b"".join(parts) == gzip.decompress(data)


@settings(deadline=None)
@given(st.integers(1, 400_000), st.integers(0, 5))
def test_padding_may_cross_the_pieces_that_are_read(padding: int, more: int) -> None:
    data = ONE + bytes(padding)
    assert read(data) == TEXT
    if more:
        with pytest.raises(Refused, match="after the padding"):
            read(data + ONE[:more])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.data())
def test_changed_files_are_read_alike_or_refused(parts: list[bytes], draw: st.DataObject) -> None:
    data = bytearray(b"".join(gzip.compress(part) for part in parts))
    for _ in range(draw.draw(st.integers(0, 3))):
        data[draw.draw(st.integers(0, len(data) - 1) | st.just(3))] = draw.draw(st.integers(0, 255))
    compare(bytes(data)[: draw.draw(st.just(len(data)) | st.integers(0, len(data)))] + draw.draw(st.binary(max_size=3)))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    compare(data)
    compare(b"\x1f\x8b\x08" + data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no end"),
        (b"PK\3\4", "not valid gzip"),
        (zlib.compress(TEXT), "not valid gzip"),
        (ONE + zlib.compress(TEXT), "not valid gzip"),
        (ONE[:-1], "no end"),
        (ONE[:5], "no end"),
        (ONE + ONE[:-1], "no end"),
        (ONE + ONE[:1], "no end"),
        (ONE + b"x", "no end"),
        (ONE + b"xy", "not valid gzip"),
        (ONE + b"\0x", "after the padding"),
        (ONE + b"\0" + ONE, "after the padding"),
        (ONE[:-8] + bytes([ONE[-8] ^ 1]) + ONE[-7:], "incorrect data check"),
        (ONE[:-4] + bytes([ONE[-4] ^ 1]) + ONE[-3:], "incorrect length check"),
        (ONE[:-8] + bytes([ONE[-8] ^ 1]) + ONE[-7:] + ONE, "incorrect data check"),
    ],
)
def test_torn_and_damaged_files_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read(data)


def test_every_early_end_is_noticed() -> None:
    for size in range(len(ONE)):
        with pytest.raises(Refused):
            read(ONE[:size])


def test_skipping_past_the_end_is_refused() -> None:
    stream = GzipStream(io.BytesIO(ONE))
    stream.skip(len(TEXT))
    assert stream.read(1) == b""
    with pytest.raises(Refused, match="ends inside a member"):
        GzipStream(io.BytesIO(ONE)).skip(len(TEXT) + 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400_000)), max_size=8))
def test_reading_and_skipping_go_through_the_same_bytes(steps: list[tuple[bool, int]]) -> None:
    plain, packed = LARGE
    stream, at = GzipStream(io.BytesIO(packed)), 0
    for is_read, size in steps:
        if at + size > len(plain):
            break
        if is_read:
            assert stream.read(size) == plain[at : at + size]
        else:
            stream.skip(size)
        at += size
    assert stream.read(len(plain)) == plain[at:]


def test_a_bomb_is_refused_in_little_memory() -> None:
    member = gzip.compress(bytes(1 << 24), 9)
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="decompression bomb"):
            check_gzip_payload(io.BytesIO(member * 20))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
