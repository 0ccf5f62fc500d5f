"""scratch: what is kept in a file without a name is read back, its space is used again, and nothing of it is left."""

import gc
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.state.scratch import Extent, Scratch
from packrat_core.errors import DiskError
from support.descriptors import open_below

SIZES = st.lists(st.one_of(st.integers(0, 3000), st.integers(900_000, 2_200_000)), max_size=8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(SIZES, st.sets(st.integers(0, 7)), st.integers(0, 1)), max_size=6))
def test_scratch_returns_what_was_written_whatever_was_freed_meanwhile(
    steps: list[tuple[list[int], set[int], int]],
) -> None:
    scratch = Scratch()
    regions = [scratch.region(), scratch.region()]
    kept: list[dict[Extent, bytes]] = [{}, {}]
    for number, (sizes, freed, which) in enumerate(steps):
        gone = [extent for at, extent in enumerate(kept[which]) if at in freed]
        regions[which].free(gone)
        for extent in gone:
            del kept[which][extent]
        new = [bytes([16 * number + at]) * size for at, size in enumerate(sizes)]
        kept[which].update(zip(regions[which].add_all(new), new, strict=True))
        for region, extents in zip(regions, kept, strict=True):
            assert [region.read([extent]) for extent in extents] == list(extents.values())
            assert region.read(extents) == b"".join(extents.values())
            assert region.read(reversed(extents)) == b"".join(reversed(extents.values()))


def test_more_extents_than_one_call_can_read_are_read() -> None:
    region = Scratch().region()
    items = [bytes([number % 251]) * (number % 700) for number in range(3000)]
    assert region.read(region.add_all(items)) == b"".join(items)


def test_large_items_are_not_held_in_memory_once_more() -> None:
    region = Scratch().region()
    items = [bytes([number]) * 2_000_000 for number in range(16)]
    tracemalloc.start()
    try:
        extents = region.add_all(items)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000
    assert region.read(extents) == b"".join(items)


def test_a_file_that_became_shorter_is_reported(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    region = scratch.region()
    extents = region.add_all([b"x" * 1000] * 3)
    [file] = [link for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link).startswith(f"{tmp_path}/")]
    os.truncate(file, 2000)
    assert region.read(extents[:1]) == b"x" * 1000
    with pytest.raises(DiskError, match="can't use a scratch file in"):
        region.read(extents)


def test_the_space_of_a_region_that_nothing_refers_to_is_used_again() -> None:
    scratch = Scratch()
    for _ in range(5):
        region = scratch.region()
        region.add(b"x" * 3_000_000)
        del region
        gc.collect()
        for _ in range(3):
            scratch.region().add(b"y")
    assert scratch.size <= 5 * 3 * 1024 * 1024


def test_freed_space_is_used_again() -> None:
    scratch = Scratch()
    region = scratch.region()
    for number in range(3000):
        extent = region.add(b"x" * (1000 + number % 20))
        region.free([extent])
    assert scratch.size == 1024 * 1024


def test_nobody_else_finds_the_file(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.region().add(b"x")
    assert list(tmp_path.iterdir()) == []
    assert len(open_below(tmp_path)) == 1
    del scratch
    gc.collect()
    assert open_below(tmp_path) == []


def test_a_directory_that_takes_no_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="can't use a scratch file in"):
        Scratch(tmp_path / "missing")
