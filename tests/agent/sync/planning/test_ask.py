"""What is to be read of a list, and whether it is a change, is the same in whatever portions it is compared.

Nothing that was read is asked for again.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.config.load import load
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile, Repo, Wanted
from packrat_agent.state.fact_table import FactsRead
from packrat_agent.state.file_rows import about as about_files
from packrat_agent.state.listed_uris import Listing
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.sync.planning import ask
from packrat_agent.sync.planning.ask import _Answer, _compare_received, _find_differences, _Notes
from packrat_agent.upstream.client import Packrat
from packrat_core.cinp.client import CinpClient
from packrat_core.errors import DiskError, ServerUnavailable
from support.mirror_conf import write_mirror_conf

REPO = Repo("apt-dev", "", "apt-dev", "apt", ())
COUNT = 2100
"""More than two portions of a list."""
NOW = 1_800_000_000.0


def a_file(number: int) -> PackageFile:
    uri = f"/api/v2/Package/PackageFile:{number}:"
    return PackageFile(uri, f"package{number}", "bookworm", "1", "deb", "all", "/files/x.deb", "x.deb", "a" * 64)


FILES = [a_file(number) for number in range(COUNT)]
FRAGMENT = Fragment(b"", "hello", "1", "all", (), size=1)


@dataclass(frozen=True)
class Answer:
    """Numbers of files: those that the server lists no longer, those it lists newly, those to be read again."""

    gone: frozenset[int]
    added: frozenset[int]
    distrusted: frozenset[int]


SOME = st.frozensets(st.integers(0, COUNT - 1), max_size=4) | st.just(frozenset(range(COUNT)))
ANSWERS = st.builds(Answer, SOME, st.frozensets(st.integers(COUNT, COUNT + 5), max_size=4), SOME)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MirrorContext]:
    top: Path = tmp_path_factory.mktemp("mirror")
    (top / "state").mkdir()
    with open_mirror(load(write_mirror_conf(top))) as made:
        made.store.repos.save([REPO])
        yield made


@pytest.mark.parametrize("dry_run", [False, True])
@settings(max_examples=10)
@given(answer=ANSWERS)
def test_a_list_is_compared_as_a_whole(context: MirrorContext, dry_run: bool, answer: Answer) -> None:
    store, listing = context.store, context.store.new_listing()
    store.wanted.remember_wanted(REPO.name, Wanted([file.uri for file in FILES], (), ()), None)
    store.record_reads.note(REPO.name, FILES, NOW)
    store.record_reads.note(REPO.name, [FILES[number] for number in answer.distrusted], NOW + 10)
    listed = [number for number in range(COUNT + 6) if number in answer.added or number < COUNT]
    listed = [number for number in listed if number not in answer.gone]
    listing.add([a_file(number).uri for number in listed])
    store.facts.note_caught_up(REPO.name)
    compared = _Answer(listing, frozenset(), None)
    found = _find_differences(compared, REPO, Order(None), replace(context, dry_run=dry_run), NOW + 5)
    behind_since = FactsRead(store._db._connection).repo(REPO.name).behind_since
    assert behind_since == (NOW + 5 if answer.gone or answer.added else None)
    assert found.names_all_known is not bool(answer.gone)
    assert found.new == len(answer.added)
    unread = [uri for portion in listing.portions(unread=True) for uri in portion]
    assert unread == [a_file(n).uri for n in listed if n in answer.added or n in answer.distrusted]
    trusted = [n for n in listed if n not in answer.added and n not in answer.distrusted]
    assert found.files == ([FILES[number] for number in trusted] if dry_run else [])
    assert found.rejected.all() == ()


PACKAGE = [replace(a_file(number), package="hello") for number in range(9)]
KINDS = st.lists(st.sampled_from(["wanted", "yanked", "gone"]), min_size=9, max_size=9)


@settings(max_examples=40)
@given(before=KINDS, after=KINDS, also=st.frozensets(st.integers(0, 8)))
def test_records_of_touched_files_give_the_same_as_a_full_list(
    context: MirrorContext, before: list[str], after: list[str], also: frozenset[int]
) -> None:
    store, order = context.store, Order(["hello"])
    touched = frozenset(PACKAGE[n].uri for n in range(9) if n in also or before[n] != after[n])
    found = []
    for name, about in (("apt-all", None), ("apt-touched", touched)):
        repo = replace(REPO, name=name, directory=name)
        store.repos.save([REPO, repo], [name for name in ("apt-all", "apt-touched") if name != repo.name])
        store.wanted.remember_wanted(name, Wanted([], (), ()), None)
        files = [replace(file, yanked=of == "yanked") for file, of in zip(PACKAGE, before, strict=True) if of != "gone"]
        store.record_reads.note(name, [*files, a_file(100)], NOW)
        store.wanted.set_live(name, [Entry(file, "x", FRAGMENT) for file in [*files, a_file(100)]])
        store.facts.note_caught_up(name)
        uris = [PACKAGE[n].uri for n in range(9) if after[n] != "gone"]
        uris = uris if about is None else [uri for uri in uris if uri in about]
        yanked = frozenset(uri for uri in uris if after[int(uri.split(":")[1])] == "yanked")
        listing = store.new_listing()
        listing.add(uris)
        compared = _find_differences(_Answer(listing, yanked, about), repo, order, context, NOW + 5)
        new = [replace(PACKAGE[n], yanked=after[n] == "yanked") for n in range(9) if PACKAGE[n].uri in _unread(listing)]
        wanted = Wanted(listing, tuple(new), (), yanked, compared.names_all_known, about)
        lost = store.wanted.lost(name, listing, about_files(order.packages, about))
        store.wanted.remember_wanted(name, wanted, order.packages)
        rows = {uri: (file, file.yanked) for uri, file in store.wanted.known(name, None).items()}
        is_behind = FactsRead(store._db._connection).repo(name).behind_since is not None
        found.append((lost, rows, store.wanted.marks(name, order.packages or ()), is_behind))
    assert found[0] == found[1]


def _unread(listing: Listing) -> set[str]:
    return {uri for portion in listing.portions(unread=True) for uri in portion}


def test_records_told_with_one_package_take_no_file_of_another(context: MirrorContext) -> None:
    repo = Repo("apt-told", "", "apt-told", "apt", ())
    context.store.repos.save([REPO, repo])
    context.store.record_reads.note(repo.name, [a_file(1), PACKAGE[2]], NOW)
    server = Packrat(CinpClient("http://localhost"), "lab", None)
    for uri, is_taken in ((PACKAGE[2].uri, True), (a_file(3).uri, True), (a_file(1).uri, False)):
        told = {"hello": {"wanted": {}, "deprocated": {}, "touched": [uri]}}
        moment = server.changed_packages.moment
        server.changed_packages.hear({repo.name: {"hello"}}, {f"/api/v2/Repo/Repo:{repo.name}:": told}, NOW + 5)
        taken, order = server.changed_packages.take(repo.name, ["hello"]), Order(["hello"])
        assert taken is not None
        compared = _compare_received(taken, repo, order, context, NOW + 6, marks=None)
        assert (compared is not None) is is_taken
        server.changed_packages.settle(repo.name, ["hello"], moment + 1)


@pytest.mark.parametrize("count", [300, 2700])
@pytest.mark.parametrize("breaks_off", [False, True])
def test_all_that_was_read_is_remembered_also_where_the_reading_breaks_off(
    context: MirrorContext, count: int, breaks_off: bool
) -> None:
    repo = Repo(f"apt-{count}-{breaks_off}", "", "apt-noted", "apt", ())
    context.store.repos.save([REPO, repo])
    files = [a_file(number) for number in range(count)]
    notes = _Notes(repo, NOW, context, nullcontext)
    with pytest.raises(ServerUnavailable) if breaks_off else nullcontext():
        asyncio.run(_read(notes, files, breaks_off))
    assert context.store.wanted.known(repo.name, None).keys() == {file.uri for file in files}
    assert notes.new == count
    assert set(context.store.record_reads.dates(repo.name).values()) == {NOW}


async def _read(notes: _Notes, files: list[PackageFile], breaks_off: bool) -> None:
    async with notes:
        for start in range(0, len(files), 300):
            await notes.add(files[start : start + 300])
        if breaks_off:
            raise ServerUnavailable("gone")


@pytest.mark.parametrize("error", [asyncio.CancelledError(), ServerUnavailable("gone")], ids=["cancelled", "failed"])
def test_the_error_that_ended_the_reading_is_raised_even_if_the_disk_fails(
    context: MirrorContext, error: BaseException
) -> None:
    async def read() -> None:
        async with _Notes(REPO, NOW, context, nullcontext) as notes:
            await notes.add(FILES[:1])
            raise error

    with _read_only(context), pytest.raises(type(error)):
        asyncio.run(read())


def test_a_disk_that_fails_at_the_end_is_reported(context: MirrorContext) -> None:
    async def read() -> None:
        async with _Notes(REPO, NOW, context, nullcontext) as notes:
            await notes.add(FILES[:1])

    with _read_only(context), pytest.raises(DiskError, match="can't write the state database"):
        asyncio.run(read())


@contextmanager
def _read_only(context: MirrorContext) -> Iterator[None]:
    connection = context.store._db._connection
    connection.execute("PRAGMA query_only = 1")
    try:
        yield
    finally:
        connection.execute("PRAGMA query_only = 0")


def test_records_are_noted_before_the_reading_ends(context: MirrorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "_NOTED_TOGETHER", 1200)
    repo = Repo("apt-waiting", "", "apt-waiting", "apt", ())
    context.store.repos.save([REPO, repo])

    async def read() -> list[int]:
        known = []
        async with _Notes(repo, NOW, context, nullcontext) as notes:
            for start in range(0, COUNT, 300):
                await notes.add(FILES[start : start + 300])
                known.append(context.store.wanted.count(repo.name, None))
        return known

    assert asyncio.run(read()) == [0, 0, 0, 1200, 1200, 1200, 1200]
