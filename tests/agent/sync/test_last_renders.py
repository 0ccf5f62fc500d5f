"""The last renders: handed over once, on the same basis only, and not more of them than memory allows."""

from dataclasses import replace

from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.sync.last_renders import Basis, LastRender, LastRenders
from packrat_agent.sync.planning.index_entries import IndexEntries

BASIS = Basis(Repo("apt-dev", "", "apt-dev", "apt", ()), FragmentSource("apt", 1), 0)
FILE = PackageFile("/f/1", "x", "bookworm", "1", "deb", "all", "/files/x.deb", "x.deb", "a" * 64)
ENTRY = Entry(FILE, "pool/x", Fragment(b"", "x", "1", "all", size=1))


def of(name: str) -> Basis:
    return replace(BASIS, repo=replace(BASIS.repo, name=name))


def holding(*names: str, entries: int = 1) -> LastRenders:
    held = LastRenders()
    for name in names:
        held.keep(of(name), LastRender(IndexEntries(of(name).repo, [ENTRY] * entries), frozenset(), {}))
    return held


def test_the_last_render_is_handed_over_once() -> None:
    held = holding("apt-dev")
    assert held.take(BASIS) is not None
    assert held.take(BASIS) is None


def test_a_render_on_another_basis_is_dropped() -> None:
    moved = replace(BASIS, repo=replace(BASIS.repo, directory="elsewhere"))
    for other in (moved, replace(BASIS, revision=1), replace(BASIS, source=FragmentSource("apt", 2))):
        held = holding("apt-dev")
        assert held.take(other) is None
        assert held.take(BASIS) is None


def test_the_repositories_that_changed_last_are_held_in_memory() -> None:
    held = holding("one", "two", "three", entries=20_000)
    assert [held.take(of(name)) is not None for name in ("one", "two", "three")] == [False, True, True]
    assert holding("large", entries=60_000).take(of("large")) is not None


def test_files_are_placed_on_the_basis_on_which_they_were_placed_last() -> None:
    held, moved = LastRenders(), replace(BASIS, repo=replace(BASIS.repo, directory="elsewhere"))
    assert not held.is_placed(BASIS)
    held.end_placing(BASIS)
    assert held.is_placed(replace(BASIS, revision=7)), "that the disk changed moves no place"
    assert not held.is_placed(replace(BASIS, source=FragmentSource("apt", 2)))
    assert not held.is_placed(moved)
    held.begin_placing(moved)
    assert not held.is_placed(BASIS), "some files may stand elsewhere by now"
