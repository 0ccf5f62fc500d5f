"""compressed_stream: what is unpacked at once is what the stream gives, and what the stream refuses is not unpacked."""

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_core.archives.compressed_stream import open_compressed, unpack_at_once
from packrat_core.errors import Refused
from support.fuzz.mutate import mutate

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": zstd.compress,
}
LIMIT = 2000


def read(packed: bytes, coding: str) -> bytes | None:
    """What the stream gives; None if it refuses."""
    try:
        return open_compressed(io.BytesIO(packed), coding).read(1 << 20)
    except Refused:
        return None


@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize("size", [0, 1, LIMIT])
def test_few_bytes_are_unpacked_at_once(coding: str, size: int) -> None:
    plain = bytes(range(256)) * 10
    assert unpack_at_once(PACK[coding](plain[:size]), coding, LIMIT) == plain[:size]


@pytest.mark.parametrize("coding", PACK)
def test_all_else_is_left_to_the_stream(coding: str) -> None:
    pack = PACK[coding]
    packed = pack(b"a" * 1000)
    for other in (b"", packed[:-1], packed[:-9], packed + b"x", packed + b"\0", packed * 2, pack(bytes(LIMIT + 1))):
        assert unpack_at_once(other, coding, LIMIT) is None


@pytest.mark.parametrize("coding", PACK)
def test_a_bomb_takes_no_more_memory_than_its_dictionary(coding: str) -> None:
    packed = PACK[coding](bytes(64 << 20))
    tracemalloc.start()
    try:
        assert unpack_at_once(packed, coding, LIMIT) is None
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(PACK)), st.binary(max_size=300), st.integers(0, 2**32))
def test_the_stream_gives_the_same_as_unpacking_at_once(coding: str, plain: bytes, seed: int) -> None:
    packed = mutate(random.Random(seed), PACK[coding](plain), [pack(plain) for pack in PACK.values()])
    found = unpack_at_once(packed, coding, LIMIT)
    assert found is None or found == read(packed, coding)


class InPieces(io.BytesIO):
    """A file of which each read gives at most three bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(3 if size is None or size < 0 else min(size, 3))


@pytest.mark.parametrize("zeros", range(9))
def test_zeros_are_counted_however_they_are_read(zeros: int) -> None:
    packed = lzma.compress(b"plain")
    for data in (packed + bytes(zeros), packed + bytes(zeros) + packed, packed + packed + bytes(zeros)):
        stream = open_compressed(InPieces(data), "xz", several=True)
        if zeros % 4:
            with pytest.raises(Refused, match="zeros after the end of the xz stream"):
                stream.drain()
        else:
            assert stream.drain() == 5 * data.count(packed)
            assert (stream.read(1), stream.padded) == (b"", zeros > 0)


@pytest.mark.parametrize("coding", ["xz", "bzip2", "zstd"])
def test_one_stream_or_several_are_read_as_they_are_asked_for(coding: str) -> None:
    packed = PACK[coding](b"plain")
    assert open_compressed(InPieces(packed * 3), coding, several=True).read(100) == b"plain" * 3
    with pytest.raises(Refused, match="bytes after the end"):
        open_compressed(InPieces(packed * 2), coding).drain()
    # As dpkg reads the archives of a package.
    assert open_compressed(InPieces(packed + bytes(3)), coding).read(100) == b"plain"
