"""An index that is changed step by step is the one that is built from nothing, and a change touches few shards."""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from packrat_agent.formats.compress import GZIP
from packrat_agent.formats.index_shards import Key
from packrat_agent.formats.interface import package_order
from packrat_agent.formats.sharded_index import IndexLayout, ShardedIndex
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile
from packrat_agent.state.scratch import Scratch
from support.apt_packages import Chunks


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
    """An index in a scratch file, and the shards that were compressed for it."""

    def __init__(
        self,
        entries: Sequence[Entry] = (),
        limit: int | None = 9,
        cut: Callable[[Key], str] = boundary,
        least: int = 1,
    ) -> None:
        self.chunks = Chunks()
        self.index = ShardedIndex(IndexLayout(cut, (GZIP,), limit=limit, least=least), write, Scratch().region())
        builder = self.index.build(self.chunks)
        for entry in sorted(entries, key=package_order):
            builder.add(entry)
        builder.end()

    def change(self, gone: Sequence[Entry], new: Sequence[Entry]) -> None:
        self.index.change(gone, new, self.chunks)

    def files(self) -> tuple[int, bytes, list[bytes]]:
        """The number of packages, the text of all, and the members of the compressed file: one a shard."""
        [file] = self.index.files()
        plain, packed = file.plain, file.packed[GZIP]
        for content in (plain, packed):
            assert (content.size, content.digest) == (len(bytes(content)), hashlib.sha256(bytes(content)).hexdigest())
        members = members_of(bytes(packed))
        assert b"".join(members) == bytes(plain)
        return len(self.index), bytes(plain), members


def members_of(packed: bytes) -> list[bytes]:
    """What the members of a gzip file hold; an empty file has one that is empty."""
    members = []
    while packed:
        reader = zlib.decompressobj(31)
        members.append(reader.decompress(packed))
        packed = reader.unused_data
    return members


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
@given(changes(), st.sampled_from([None, 1, 3, 9]), st.sampled_from([1, 2, 5]))
def test_any_sequence_of_changes_gives_what_is_built_from_nothing(
    made: tuple[list[Entry], list[tuple[list[Entry], list[Entry]]]], limit: int | None, least: int
) -> None:
    present, steps = made
    index = Index(present, limit, least=least)
    for gone, new in steps:
        index.change(gone, new)
        present = [entry for entry in present if entry not in gone] + new
        assert index.files() == Index(present[::-1], limit, least=least).files()


def shown(entry: Entry) -> tuple[bytes, list[bytes]]:
    return entry.path.encode(), [entry.path.encode()]


def test_an_entry_that_is_not_in_the_index_cannot_be_removed() -> None:
    for count in (3, 400):
        index = Index([entry(number) for number in range(count)])
        with pytest.raises(KeyError, match="package00005"):
            index.change([entry(5, 1)], ())


def test_an_index_that_changes_again_and_again_needs_no_more_room_on_disk() -> None:
    scratch = Scratch()
    index = ShardedIndex(IndexLayout(boundary, (GZIP,), limit=9), write, scratch.region())
    index.change((), [entry(number) for number in range(400)], Chunks())
    for number in range(400):
        index.change([entry(number)], [entry(number, 1)], Chunks())
        index.change([entry(number, 1)], [entry(number)], Chunks())
    assert scratch.size <= 2 * 1024 * 1024


def test_the_log_names_a_package_of_which_two_files_are_wanted() -> None:
    with capture_logs() as logs:
        index = Index([entry(1, 1), entry(2)])
        index.change((), [entry(3), entry(2, 2)])
    assert [(log["event"], log["package"]) for log in logs] == [("duplicate", "package00002")]


def test_the_newest_record_of_a_package_stands_in_the_index_and_the_one_before_comes_back() -> None:
    old, new = entry(1, 1), entry(1, 2)
    index = Index([new])
    index.change((), [old])
    assert index.files() == (1, *shown(new))
    index.change([new], ())
    assert index.files() == (1, *shown(old))


def test_a_new_package_touches_few_shards() -> None:
    entries = [entry(number) for number in range(0, 4000, 2)]
    index = Index(entries, 128, " ".join)
    before = index.files()[2]
    index.chunks.made.clear()
    index.change((), [entry(1501)])
    after = index.files()[2]
    assert len(set(after) ^ set(before)) <= 4
    assert len(before) > 20
    assert len(index.chunks.made) <= 2


def test_a_new_package_leaves_the_shards_beside_its_own_as_they_are() -> None:
    class Asked(Chunks):
        def get(self, coding: str, digest: str) -> bytes | None:
            asked.append(digest)
            return super().get(coding, digest)

    asked: list[str] = []
    entries = [entry(number) for number in range(0, 4000, 2)]
    index = Index(entries, 128, " ".join)
    starts = {min(shard.split(b"pool/")[1:]) for shard in index.files()[2]}
    for number in range(1001, 1401, 2):
        asked.clear()
        index.index.change((), [entry(number)], Asked())
        expected = Index([*entries, entry(number)], 128, " ".join).files()[2]
        # Where it begins a shard itself, its own is cut in two.
        changed = {min(shard.split(b"pool/")[1:]) for shard in expected} - starts
        assert len(asked) == 1 + len(changed)
        index.change([entry(number)], ())


@pytest.mark.parametrize(("least", "size"), [(1, 3), (3, 3), (4, 6), (6, 6), (7, 9)])
def test_no_shard_but_the_last_is_smaller_than_the_least(least: int, size: int) -> None:
    shards = Index([entry(number) for number in range(100)], None, least=least).files()[2]
    assert [shard.count(b"pool/") for shard in shards] == [*[size] * (100 // size), 100 % size]


@pytest.mark.parametrize("least", [1, 2, 5])
def test_whichever_package_goes_the_shards_behind_it_are_cut_as_if_it_had_never_been(least: int) -> None:
    entries = [entry(number) for number in range(100)]
    for gone in entries[30:45]:
        index = Index(entries, 9, least=least)
        index.change([gone], ())
        rest = [entry for entry in entries if entry is not gone]
        assert index.files() == Index(rest, 9, least=least).files()


def test_no_shard_is_longer_than_the_limit() -> None:
    shards = Index([entry(number) for number in range(20_000)], 128, " ".join).files()[2]
    sizes = [shard.count(b"pool/") for shard in shards]
    assert max(sizes) == 128
    assert sum(sizes) / len(sizes) > 128 / 4
