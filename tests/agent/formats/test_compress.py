"""Compressed shard by shard: every decompressor reads the whole, every chunk is made once."""

import gzip
import hashlib
import io
import lzma
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_agent.formats.compress import GZIP, XZ, Coding
from packrat_agent.formats.sharded_index import IndexLayout, ShardedIndex
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile
from packrat_agent.state.scratch import Scratch
from support.apt_packages import Chunks


def packed(coding: Coding, parts: Iterable[bytes], chunks: Chunks | None = None) -> bytes:
    """A file of an index whose shards have these texts."""
    layout = IndexLayout(lambda key: "", (coding,), limit=1)
    index = ShardedIndex(layout, lambda entry: (entry.fragment.body,), Scratch().region())
    builder = index.build(chunks or Chunks())
    for number, part in enumerate(parts):
        file = PackageFile(f"/f/{number}/", f"{number:09}", "sid", "1", "deb", "all", "/x", "x.deb", "a" * 64)
        builder.add(Entry(file, "x", Fragment(part, f"{number:09}", "1", "all", size=1)))
    builder.end()
    return bytes(index.files()[0].packed[coding])


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
    chunks = Chunks()
    made = packed(GZIP, parts, chunks), packed(XZ, parts, chunks)
    assert gzip.decompress(made[0]) == b"".join(parts)
    assert lzma.decompress(made[1], lzma.FORMAT_XZ) == b"".join(parts)
    # Nothing is made again, and from the cache it is the same.
    chunks.made.clear()
    assert (packed(GZIP, parts, chunks), packed(XZ, parts, chunks)) == made
    assert chunks.made == []
    assert (packed(GZIP, parts), packed(XZ, parts)) == made


@settings(max_examples=25, deadline=None)
@given(_parts)
@example([])
@example([bytes([number]) * 50 for number in range(200)])
def test_the_real_programs_read_it(parts: list[bytes]) -> None:
    xz = packed(XZ, parts)
    assert filtered(["xz", "--test", "-"], xz) == b""
    assert filtered(["xz", "--decompress", "--stdout"], xz) == b"".join(parts)
    assert filtered(["gzip", "--decompress", "--stdout"], packed(GZIP, parts)) == b"".join(parts)


# From 128 blocks on, the index counts them in two bytes.
@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129])
def test_xz_is_one_stream_with_a_block_a_shard(tmp_path: Path, count: int) -> None:
    path = tmp_path / "index.xz"
    path.write_bytes(packed(XZ, (b"%d" % number for number in range(count))))
    said = filtered(["xz", "--robot", "--list", str(path)], b"").decode()
    totals = next(line.split("\t") for line in said.splitlines() if line.startswith("totals"))
    assert totals[1:3] == ["1", str(count)]


@pytest.mark.parametrize("bits", [7, 14])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_sizes_at_which_the_index_of_xz_takes_one_byte_more(bits: int, more: int) -> None:
    part = b"x" * ((1 << bits) + more)
    assert lzma.decompress(packed(XZ, [part, b"y"]), lzma.FORMAT_XZ) == part + b"y"


def test_the_bytes_carry_no_date_and_no_name() -> None:
    made = packed(GZIP, [b"a", b"b"])
    with gzip.GzipFile(fileobj=io.BytesIO(made)) as file:
        file.read()
        assert file.mtime == 0
    assert made[3] == 0


def test_shards_share_their_pieces_with_other_indexes() -> None:
    chunks = Chunks()
    packed(GZIP, [b"a", b"b", b"c"], chunks)
    chunks.made.clear()
    packed(GZIP, [b"c", b"x", b"a"], chunks)
    assert chunks.made == [("gz-6", hashlib.sha256(b"x").hexdigest())]
