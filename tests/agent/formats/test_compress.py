"""Compressed shard by shard: every decompressor reads the whole, every chunk is made once."""

import gzip
import io
import lzma
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_agent.formats.compress import Shard, compress_gzip, compress_xz
from support.apt_packages import Chunks


def shards_of(*parts: bytes) -> list[Shard]:
    return [Shard.of([part]) for part in parts]


def filtered(command: list[str], data: bytes) -> bytes:
    """What a program makes of its input; it must not complain."""
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


_parts = st.lists(
    st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=40).map(lambda part: part * 2000)), max_size=8
)


@settings(max_examples=80, deadline=None)
@given(_parts)
@example([])
@example([b""])
@example([b"a"] * 300)
@example([b"x" * 3_000_000, b"y"])
def test_the_standard_library_reads_what_was_put_in(parts: list[bytes]) -> None:
    shards = shards_of(*parts)
    chunks = Chunks()
    packed = bytes(compress_gzip(shards, chunks)), bytes(compress_xz(shards, chunks))
    assert gzip.decompress(packed[0]) == b"".join(parts)
    assert lzma.decompress(packed[1], lzma.FORMAT_XZ) == b"".join(parts)
    # Nothing is made again, and from the cache it is the same.
    chunks.made.clear()
    assert (bytes(compress_gzip(shards, chunks)), bytes(compress_xz(shards, chunks))) == packed
    assert chunks.made == []
    assert (bytes(compress_gzip(shards, Chunks())), bytes(compress_xz(shards, Chunks()))) == packed


@settings(max_examples=25, deadline=None)
@given(_parts)
@example([])
@example([bytes([number]) * 50 for number in range(200)])
def test_the_real_programs_read_it(parts: list[bytes]) -> None:
    shards = shards_of(*parts)
    packed = bytes(compress_xz(shards, Chunks()))
    assert filtered(["xz", "--test", "-"], packed) == b""
    assert filtered(["xz", "--decompress", "--stdout"], packed) == b"".join(parts)
    assert filtered(["gzip", "--decompress", "--stdout"], bytes(compress_gzip(shards, Chunks()))) == b"".join(parts)


@pytest.mark.parametrize("count", [0, 1, 2, 129])
def test_xz_is_one_stream_with_a_block_a_shard(tmp_path: Path, count: int) -> None:
    path = tmp_path / "index.xz"
    path.write_bytes(bytes(compress_xz(shards_of(*(b"%d" % number for number in range(count))), Chunks())))
    said = filtered(["xz", "--robot", "--list", str(path)], b"").decode()
    totals = next(line.split("\t") for line in said.splitlines() if line.startswith("totals"))
    assert totals[1:3] == ["1", str(count)]


def test_the_bytes_carry_no_date_and_no_name() -> None:
    packed = bytes(compress_gzip(shards_of(b"a", b"b"), Chunks()))
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        file.read()
        assert file.mtime == 0
    assert packed[3] == 0


def test_shards_share_their_pieces_with_other_indexes() -> None:
    chunks = Chunks()
    compress_gzip(shards_of(b"a", b"b", b"c"), chunks)
    chunks.made.clear()
    compress_gzip(shards_of(b"c", b"x", b"a"), chunks)
    assert chunks.made == [("gz-6", Shard.of([b"x"]).digest)]
