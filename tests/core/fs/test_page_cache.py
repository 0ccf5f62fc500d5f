"""read_sparingly: what was cached stays cached, what was not is not afterwards, and the bytes are the file's."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_core.fs.page_cache import CHUNK_BYTES, find_uncached, read_sparingly

PAGE = os.sysconf("SC_PAGESIZE")
SIZE = 3 * CHUNK_BYTES + 1234


@pytest.fixture(scope="module")
def descriptor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A file of several chunks; nothing is read ahead for this descriptor."""
    path = tmp_path_factory.mktemp("cache") / "file"
    path.write_bytes(os.urandom(SIZE))
    opened = os.open(path, os.O_RDONLY)
    os.fsync(opened)
    os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_RANDOM)
    yield opened
    os.close(opened)


def forget(descriptor: int) -> None:
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    if find_uncached(descriptor, SIZE) != [(0, SIZE)]:
        pytest.skip("this filesystem drops no pages, as a tmpfs")


def test_a_file_that_was_not_cached_leaves_nothing(descriptor: int) -> None:
    forget(descriptor)
    content = b"".join(read_sparingly(descriptor, SIZE))
    assert find_uncached(descriptor, SIZE) == [(0, SIZE)]
    assert content == os.pread(descriptor, SIZE, 0)
    assert find_uncached(descriptor, SIZE) == []
    assert b"".join(read_sparingly(descriptor, SIZE)) == content
    assert find_uncached(descriptor, SIZE) == []


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, SIZE // PAGE), max_size=6))
def test_pages_that_were_cached_stay_and_all_others_go(descriptor: int, pages: set[int]) -> None:
    forget(descriptor)
    for page in pages:
        os.pread(descriptor, 1, page * PAGE)
    before = find_uncached(descriptor, SIZE)
    # A descriptor of its own, for which the kernel reads ahead.
    other = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    try:
        assert sum(map(len, read_sparingly(other, SIZE))) == SIZE
    finally:
        os.close(other)
    assert find_uncached(descriptor, SIZE) == before


def test_a_sparse_file_takes_no_memory_for_each_of_its_pages(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("w+b") as file:
        file.truncate(15 << 40)
        # One page is cached, so that some are and some are not.
        os.pread(file.fileno(), 1, 0)
        tracemalloc.start()
        try:
            chunks = read_sparingly(file.fileno(), 15 << 40)
            assert next(chunks) == bytes(CHUNK_BYTES)
            assert tracemalloc.get_traced_memory()[1] < 100 * CHUNK_BYTES
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 1, PAGE, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
@pytest.mark.parametrize("grown", [-1, 0, 5])
def test_all_bytes_are_read_also_of_a_file_that_has_grown_or_shrunk(tmp_path: Path, size: int, grown: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(251)) * (size // 251 + 1))
    os.truncate(path, size)
    with path.open("rb") as file:
        assert b"".join(read_sparingly(file.fileno(), max(0, size + grown))) == path.read_bytes()
