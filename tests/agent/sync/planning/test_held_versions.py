"""A distribution version stays while the files that it takes along are held back."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import DistroVersion, MirrorView, PackageFile, Repo, Wanted
from packrat_agent.state.store import Store
from packrat_agent.sync.planning.held_versions import keep_held_versions
from packrat_agent.sync.planning.removals import RemovalLimits

BOOKWORM = DistroVersion("bookworm", "debian", "12", "deb")
TRIXIE = DistroVersion("trixie", "debian", "13", "deb")
REPO = Repo("one", "", "one", "apt", (BOOKWORM, TRIXIE))
LIMITS = RemovalLimits(50, 3600.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def live(store: Store, counts: Mapping[DistroVersion, int], repo: Repo = REPO) -> list[str]:
    """Have so many live files of each version; gives their URIs."""
    store.repos.save([repo])
    files = tuple(
        PackageFile(f"/{version.name}/{n}", f"p{n}", version.name, "1", "deb", "all", "/x", f"p{n}.deb", f"{n:064x}")
        for version, count in counts.items()
        for n in range(count)
    )
    uris = [file.uri for file in files]
    store.wanted.remember_wanted(repo.name, Wanted(frozenset(uris), files, ()), None)
    entries = [Entry(file, file.file_name, Fragment(b"", "p", "1", "all", size=1)) for file in files]
    store.wanted.set_live(repo.name, entries)
    return uris


def versions_after(
    store: Store, *named: DistroVersion, accepted: bool = False, repo: Repo = REPO
) -> set[DistroVersion]:
    """Give the versions that the repository has where the server names some."""
    view = MirrorView("", (replace(repo, distro_versions=named),), ())
    (kept,) = keep_held_versions(view, store, LIMITS, accepted=accepted).repos
    assert kept.distro_versions[: len(named)] == named
    return set(kept.distro_versions)


@pytest.mark.parametrize(
    ("bookworm", "trixie", "stays"),
    [(0, 30, False), (9, 1, False), (10, 30, False), (20, 20, False), (21, 19, True), (1, 0, True), (12, 0, True)],
)
def test_a_version_stays_where_more_goes_with_it_than_may(
    store: Store, bookworm: int, trixie: int, stays: bool
) -> None:
    live(store, {BOOKWORM: bookworm, TRIXIE: trixie})
    assert (BOOKWORM in versions_after(store, TRIXIE)) is stays
    assert versions_after(store, TRIXIE, accepted=True) == {TRIXIE}
    assert versions_after(store, TRIXIE, BOOKWORM) == {TRIXIE, BOOKWORM}


def test_a_held_version_goes_with_its_files_after_an_interval(store: Store) -> None:
    uris = live(store, {BOOKWORM: 20})
    now = store.removals.clock.now()
    store.removals.hold(REPO.name, uris, now - 3000)
    assert versions_after(store, TRIXIE) == {TRIXIE, BOOKWORM}
    store.removals.hold(REPO.name, (), now)
    store.removals.hold(REPO.name, uris[1:], now - 4000)
    assert versions_after(store, TRIXIE) == {TRIXIE, BOOKWORM}
    store.removals.hold(REPO.name, (), now)
    store.removals.hold(REPO.name, uris, now - 4000)
    assert versions_after(store, TRIXIE) == {TRIXIE}


def test_another_version_in_its_place_and_another_type_end_it(store: Store) -> None:
    live(store, {BOOKWORM: 20})
    renamed = replace(BOOKWORM, name="debian-12")
    assert versions_after(store, renamed) == {renamed}
    moved = replace(BOOKWORM, distro="ubuntu", version="24.04")
    assert versions_after(store, moved) == {moved}
    assert versions_after(store, TRIXIE, repo=replace(REPO, kind="yum")) == {TRIXIE}
