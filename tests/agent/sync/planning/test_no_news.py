"""Only what stands in the index as the server wants it is no news, and it says nothing of the rest."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile, Repo, Wanted
from packrat_agent.state.fact_table import FactsRead
from packrat_agent.sync.context import MirrorContext, Order, SyncResult
from packrat_agent.sync.last_renders import LastRender
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.sync.noted_sync import _note
from packrat_agent.sync.planning.index_entries import IndexEntries
from packrat_agent.sync.planning.no_news import is_no_news
from support.mirror_conf import write_mirror_conf

REPO = Repo("apt-dev", "", "apt-dev", "apt", ())
LAST = LastRender(IndexEntries(REPO), frozenset(), {})
NOW = 1_800_000_000.0


def a_file(number: int) -> PackageFile:
    uri = f"/api/v2/Package/PackageFile:{number}:"
    return PackageFile(uri, "hello", "bookworm", "1", "deb", "all", "/files/x.deb", "x.deb", "a" * 64)


LIVE, YANKED, WAITING, UNKNOWN = (a_file(number) for number in range(4))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[MirrorContext]:
    (tmp_path / "state").mkdir()
    with open_mirror(load(write_mirror_conf(tmp_path))) as made:
        made.store.repos.save([REPO])
        live = [LIVE, replace(YANKED, yanked=True)]
        made.store.record_reads.note(REPO.name, [*live, WAITING], NOW)
        fragment = Fragment(b"", "hello", "1", "all", (), size=1)
        made.store.wanted.set_live(REPO.name, [Entry(file, "x", fragment) for file in live])
        yield made


def told(*wanted: PackageFile, touched: tuple[PackageFile, ...], yanked: tuple[PackageFile, ...] = ()) -> Wanted:
    uris, marked = ([file.uri for file in files] for files in (wanted, yanked))
    return Wanted(uris, (), (), marked, touched=frozenset(file.uri for file in touched))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (told(LIVE, touched=(LIVE,)), True),
        (told(LIVE, YANKED, touched=(LIVE, YANKED), yanked=(YANKED,)), True),
        (told(LIVE, touched=(LIVE, UNKNOWN)), True),
        (told(touched=(UNKNOWN,)), True),
        # Gone, marked, no longer marked, new, or not in the index yet.
        (told(touched=(LIVE,)), False),
        (told(LIVE, touched=(LIVE, YANKED)), False),
        (told(LIVE, touched=(LIVE,), yanked=(LIVE,)), False),
        (told(YANKED, touched=(YANKED,)), False),
        (told(LIVE, UNKNOWN, touched=(LIVE, UNKNOWN)), False),
        (told(WAITING, touched=(WAITING,)), False),
        (told(touched=(WAITING,)), False),
        # Nobody knows which files of a list are news.
        (Wanted([LIVE.uri, YANKED.uri], (), (), [YANKED.uri]), False),
    ],
)
def test_only_what_stands_in_the_index_as_it_is_wanted_is_no_news(
    context: MirrorContext, wanted: Wanted, expected: bool
) -> None:
    assert is_no_news(REPO, ["hello"], wanted, LAST, context.store) is expected


def test_files_that_may_need_another_look_are_news(context: MirrorContext) -> None:
    wanted, store = told(LIVE, touched=(LIVE,)), context.store
    assert is_no_news(REPO, ["hello"], wanted, LAST, store)
    assert not is_no_news(REPO, ["hello"], wanted, None, store)
    assert not is_no_news(REPO, ["hello"], wanted, replace(LAST, refused=frozenset({"other"})), store)
    store.removals.hold(REPO.name, [LIVE.uri], NOW)
    assert not is_no_news(REPO, ["hello"], wanted, LAST, store)


def test_news_of_another_repository_is_none_of_this_one(context: MirrorContext) -> None:
    assert is_no_news(REPO, ["other"], Wanted((), (), ()), None, context.store)
    assert not is_no_news(REPO, ["hello"], Wanted((), (), ()), None, context.store)


def test_a_sync_that_looked_at_nothing_leaves_what_others_found(context: MirrorContext) -> None:
    facts, order = context.store.facts, Order(["hello"], heard_at=NOW)
    for unaffected, left in ((True, ("held", "ahead", "error")), (False, (None, None, None))):
        facts.update_repo(REPO.name, held="held", ahead="ahead", error="error", behind_since=NOW)
        began = time.time()
        _note(facts, SyncResult(REPO.name, unaffected=unaffected), order, began)
        health = FactsRead(context.store._db._connection).repo(REPO.name)
        assert (health.held, health.ahead, health.error) == left
        assert health.checked is not None
        assert health.checked >= began
        assert health.behind_since is None
