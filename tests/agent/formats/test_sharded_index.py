"""An index that is changed step by step is the one that is built from nothing, and a change touches few shards."""

import zlib
from collections.abc import Callable, Iterable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.formats.compress import Shard
from packrat_agent.formats.sharded_index import Key, NewestRecords, ShardedIndex
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile


def entry(package: int, record: int = 0, arch: str = "amd64") -> Entry:
    name = f"package{package:05}"
    file = PackageFile(f"/f/{record:09}/", name, "sid", "1", "deb", arch, "/x", f"{name}.deb", f"{record:064x}")
    return Entry(file, f"pool/{name}-{record}.deb", Fragment(b"", name, "1", arch, size=1))


def write(entry: Entry) -> tuple[bytes]:
    return (entry.path.encode(),)


BOUNDARY = next(text for text in map(str, range(1000)) if zlib.crc32(text.encode()) % 64 == 0)


def boundary(key: Key) -> str:
    """Every third package begins a shard, so that a few changes meet all cases."""
    return BOUNDARY if int(key[0].removeprefix("package")) % 3 == 0 else "1"


class Index:
    """The records of an index and its shards, as a format keeps them."""

    def __init__(
        self, entries: Sequence[Entry] = (), limit: int | None = 9, cut: Callable[[Key], str] = boundary
    ) -> None:
        self._records = NewestRecords(write)
        self._index = ShardedIndex(cut, limit=limit)
        self.change((), entries)

    def change(self, gone: Sequence[Entry], new: Sequence[Entry]) -> None:
        self._index.replace(*self._records.replace(gone, new))

    def shards(self) -> list[tuple[bytes, ...]]:
        shards = self._index.shards(0)
        assert len(self._index) == sum(len(shard.texts) for shard in shards)
        assert list(shards) == [Shard.of(shard.texts) for shard in shards]
        return [shard.texts for shard in shards]


@st.composite
def changes(draw: st.DrawFn) -> tuple[list[Entry], list[tuple[list[Entry], list[Entry]]]]:
    """An index to begin with, and changes of it, small enough that its shards are cut one by one."""
    count = 0

    def some(packages: Iterable[int]) -> list[Entry]:
        nonlocal count
        made = []
        for package in packages:
            count += 1
            made.append(entry(package, count))
        return made

    first = present = some(draw(st.sets(st.integers(0, 400), min_size=200, max_size=300)))
    steps = []
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(present) - 1))
        gone = present[start : start + draw(st.integers(0, 4))]
        new = some(draw(st.lists(st.integers(0, 400), max_size=4)))
        present = sorted([entry for entry in present if entry not in gone] + new, key=lambda entry: entry.path)
        steps.append((gone, new))
    return first, steps


@settings(max_examples=60, deadline=None)
@given(changes(), st.sampled_from([None, 1, 3, 9]))
def test_any_sequence_of_changes_gives_what_is_built_from_nothing(
    made: tuple[list[Entry], list[tuple[list[Entry], list[Entry]]]], limit: int | None
) -> None:
    present, steps = made
    index = Index(present, limit)
    for gone, new in steps:
        index.change(gone, new)
        present = [entry for entry in present if entry not in gone] + new
        assert index.shards() == Index(present[::-1], limit).shards()


def test_the_newest_record_of_a_package_stands_in_the_index_and_the_one_before_comes_back() -> None:
    old, new = entry(1, 1), entry(1, 2)
    index = Index([new])
    index.change((), [old])
    assert index.shards() == [(new.path.encode(),)]
    index.change([new], ())
    assert index.shards() == [(old.path.encode(),)]


def test_a_new_package_touches_few_shards() -> None:
    entries = [entry(number) for number in range(0, 4000, 2)]
    index = Index(entries, 128, " ".join)
    before = index.shards()
    index.change((), [entry(1501)])
    assert len(set(index.shards()) ^ set(before)) <= 4
    assert len(before) > 20


def test_no_shard_is_longer_than_the_limit() -> None:
    sizes = [len(shard) for shard in Index([entry(number) for number in range(20_000)], 128, " ".join).shards()]
    assert max(sizes) == 128
    assert sum(sizes) / len(sizes) > 128 / 4
