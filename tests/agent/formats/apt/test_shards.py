"""An apt index is cut into shards, so that a change costs one of them."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.formats.apt.packages_index import Written, cut_shards
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile

LIMIT = 128


def entry(number: int) -> Entry:
    name = f"package{number:05}"
    file = PackageFile(f"u{number}", name, "bookworm", "1", "deb", "all", "/files/x", "x", f"{number:064x}")
    return Entry(file, f"pool/{name[:6]}/{name}_1_all.deb", Fragment(b"Package: x\n", name, "1", "all", size=100))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1500), st.integers(0, 1500))
def test_one_more_package_changes_the_shards_up_to_the_next_cut_only(count: int, more: int) -> None:
    before = [entry(number) for number in range(count) if number != more]
    after = [entry(number) for number in sorted({*range(count), more})]
    old, new = cut_shards(before, {}), cut_shards(after, {})
    assert b"".join(shard.plain for shard in new).count(b"Package: ") == len(after)
    changed = {shard.digest for shard in new} - {shard.digest for shard in old}
    # A run of shards that were cut by the limit alone is cut anew up to the next cut by hash.
    assert sum(shard.plain.count(b"Package: ") for shard in new if shard.digest in changed) <= 8 * LIMIT


def test_no_shard_is_longer_than_the_limit() -> None:
    shards = cut_shards([entry(number) for number in range(20_000)], {})
    sizes = [shard.plain.count(b"Package: ") for shard in shards]
    assert max(sizes) == LIMIT
    assert sum(sizes) / len(sizes) > LIMIT / 4


def resized(entry: Entry) -> Entry:
    return replace(entry, fragment=replace(entry.fragment, size=7))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.integers(0, 600)), min_size=2, max_size=4), st.data())
def test_shards_that_were_written_before_change_nothing(indexes: list[set[int]], data: st.DataObject) -> None:
    written: Written = {}
    for numbers in indexes:
        # Other bytes under the same name must be seen, too.
        other = data.draw(st.sampled_from([*sorted(numbers), None]))
        entries = [resized(entry(number)) if number == other else entry(number) for number in sorted(numbers)]
        assert cut_shards(entries, written) == cut_shards(entries, {})
