"""live_entries: the state database gives the entries that an index was made of, in the index's order."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.formats.interface import package_order
from packrat_agent.model.entries import Entry, Fragment, Product
from packrat_agent.model.records import DistroVersion, PackageFile, Repo, Wanted
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.live_entries import LiveEntries
from packrat_agent.state.store import Store

VERSIONS = tuple(DistroVersion(name, "debian", name, "deb") for name in ("bookworm", "trixie"))
SOURCE = FragmentSource("apt", 2)


def entry(number: int, version: str = "bookworm", package: str = "") -> Entry:
    name = package or f"package{number % 7}"
    file = PackageFile(
        *(f"/f/{number}/", name, version, str(number), "deb", "x86_64", "/x", f"{name}_{number}.deb", f"{number:064x}")
    )
    products = (Product("", f"{number + 1000:064x}", 5),) if number % 2 else ()
    arch = "all" if number % 3 else "amd64"
    return Entry(file, f"pool/{name}_{number}.deb", Fragment(b"%d" % number, name, str(number), arch, products, size=9))


ENTRIES = [*(entry(number) for number in range(1, 1200)), *(entry(number, "trixie") for number in range(2000, 2010))]


@pytest.fixture(scope="module", params=["apt-dev", ""])
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Repo]]:
    store, repo = fill(tmp_path_factory.mktemp("state"), request.param)
    yield store, repo
    store.close()


def fill(directory: Path, top: str) -> tuple[Store, Repo]:
    store = Store(directory / "state.db")
    repo = Repo("apt-dev", "", top, "apt", VERSIONS)
    store.repos.save([repo])
    waiting = entry(5000, package="waiting")
    files = [each.file for each in (*ENTRIES, waiting)]
    store.wanted.remember_wanted(repo.name, Wanted([file.uri for file in files], tuple(files), ()), None)
    store.fragments.save(SOURCE, {each.file.sha256: each.fragment for each in (*ENTRIES, waiting)})
    store.fragments.save(replace(SOURCE, signer="x"), {each.file.sha256: entry(1).fragment for each in ENTRIES[:100]})
    below = f"{repo.directory}/" if repo.directory else ""
    store.wanted.set_places(repo.name, [(each.file.uri, below + each.path) for each in (*ENTRIES, waiting)])
    store.wanted.set_live(repo.name, ENTRIES)
    return store, repo


@pytest.fixture
def live(stored: tuple[Store, Repo]) -> LiveEntries:
    store, repo = stored
    return store.live_entries(repo, SOURCE)


def test_the_entries_of_some_packages_are_those_that_the_index_has(live: LiveEntries) -> None:
    found = live.of(["package1", "package3", "waiting", "unknown"])
    wanted = [each for each in ENTRIES if each.file.package in ("package1", "package3")]
    assert sorted(found, key=package_order) == sorted(wanted, key=package_order)


def test_all_come_in_the_order_of_their_packages(live: LiveEntries) -> None:
    without = {"/f/17/", "/f/2001/"}
    for versions in (["bookworm"], ["trixie"], ["bookworm", "trixie"]):
        wanted = [e for e in ENTRIES if e.file.distro_version in versions and e.file.uri not in without]
        assert list(live.by_package(versions, without)) == sorted(wanted, key=package_order)
    assert live.architectures(["trixie"]) == {"all", "amd64"}
    assert live.architectures(["sid"]) == frozenset()


def test_a_path_is_needed_as_long_as_another_entry_has_it(live: LiveEntries, stored: tuple[Store, Repo]) -> None:
    below = f"{stored[1].directory}/" if stored[1].directory else ""
    paths = [f"{below}pool/package1_1.deb", f"{below}pool/waiting_5000.deb", f"{below}pool/other.deb"]
    assert live.standing(paths, ()) == {paths[0]}
    assert live.standing(paths, {"/f/1/"}) == frozenset()
    assert live.standing(paths, {"/f/8/"}) == {paths[0]}, "another file of the same package leaves"


def test_a_record_that_is_read_again_meanwhile_is_left_out(tmp_path: Path) -> None:
    store, repo = fill(tmp_path, "apt-dev")
    uris = [each.file.uri for each in (*ENTRIES, entry(5000, package="waiting"))]
    found = store.live_entries(repo, SOURCE).by_package(["bookworm"], ())
    first = next(found)
    # Another file that is known, under the URIs that are still to come.
    changed = [replace(each.file, sha256=first.file.sha256) for each in ENTRIES if each.file.uri != first.file.uri]
    store.wanted.remember_wanted(repo.name, Wanted(uris, tuple(changed), ()), None)
    rest = list(found)
    assert 0 < len(rest) < len(ENTRIES) - 1
    assert all(each.fragment.body == b"%d" % int(each.file.version) for each in rest)
    store.close()


def test_texts_that_many_entries_share_are_held_once(live: LiveEntries) -> None:
    read = live.of(["package0"])
    assert len(read) > 100
    said = {
        id(text)
        for one in read
        for text in (
            *(one.file.package, one.file.distro_version, one.file.kind, one.file.arch, one.fragment.name),
            *(one.fragment.arch, *(product.name for product in one.fragment.products)),
        )
    }
    # package0, bookworm or trixie, deb, x86_64, all or amd64, and the name of a product.
    assert len(said) <= 8
