"""What a sync asks of many files at once: which packages there are, what is live, which paths belong to none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.model.entries import Refusal, StoredFile
from packrat_agent.model.records import DistroVersion, PackageFile, Repo, Wanted
from packrat_agent.state.file_state import FileState
from packrat_agent.state.listing import Listing, missing_from
from packrat_agent.state.store import Store

REPO = Repo("apt-dev", "", "apt-dev", "apt", (DistroVersion("bookworm", "debian", "12", "deb"),))
FILES = tuple(
    PackageFile(
        *(f"/f/{number}/", f"package{number % 10}", "bookworm", str(number), "deb", "all", "/x", f"{number}.deb"),
        f"{number:064x}",
    )
    for number in range(1200)
)
URIS = [file.uri for file in FILES]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    made.wanted.save_repos([REPO])
    made.wanted.remember_wanted(REPO.name, Wanted(URIS, FILES, ()), None)
    made.wanted.set_places(REPO.name, [(file.uri, f"apt-dev/pool/{file.file_name}") for file in FILES])
    yield made
    made.close()


def states(store: Store) -> dict[str, FileState]:
    return {item.file.uri: item.state for item in store.wanted.wanted_files(REPO.name)}


def test_packages_come_in_order_so_many_at_a_time(store: Store) -> None:
    portions = list(store.wanted.packages(REPO.name, 4))
    assert [len(portion) for portion in portions] == [4, 4, 2]
    assert [name for portion in portions for name in portion] == [f"package{number}" for number in range(10)]


def test_only_the_files_that_were_looked_at_change_their_state(store: Store) -> None:
    store.wanted.set_live_among(REPO.name, URIS[:1000], set(URIS[:900]))
    assert [uri for uri, state in states(store).items() if state is FileState.LIVE] == URIS[:900]
    store.wanted.refuse(REPO.name, [Refusal(FILES[0], "wrong"), Refusal(FILES[1], "wrong")])
    store.wanted.set_live_among(REPO.name, URIS[:4], {URIS[1], URIS[2]})
    found = states(store)
    assert [found[uri] for uri in URIS[:5]] == [
        *(FileState.REFUSED, FileState.LIVE, FileState.LIVE, FileState.WANTED, FileState.LIVE)
    ]
    indexed = store.wanted.indexed_among(REPO.name, URIS)
    assert sorted(file.uri for file in indexed) == sorted(set(URIS[1:900]) - {URIS[3]})
    assert next(file.path for file in indexed if file.uri == URIS[1]) == "apt-dev/pool/1.deb"


def test_what_stands_in_the_place_of_no_wanted_file_is_to_be_withdrawn(store: Store) -> None:
    def on_disk(number: int) -> tuple[StoredFile, str]:
        return StoredFile(f"apt-dev/pool/{number}.deb", f"{number:064x}", 1, 1, 1), f"{number:064x}"

    store.live.adopt(REPO.name, [on_disk(number) for number in (1, 2, 3, 4000, 5000)], 1.0)
    store.live.adopt_withdrawn(REPO.name, [on_disk(6000)[0]], 1.0)
    store.wanted.refuse(REPO.name, [Refusal(FILES[3], "wrong")])
    assert store.live.unplaced(REPO.name) == ["apt-dev/pool/3.deb", "apt-dev/pool/4000.deb", "apt-dev/pool/5000.deb"]


def test_what_a_list_lacks_is_found_wherever_the_list_is(tmp_path: Path) -> None:
    listing = Listing(tmp_path)
    listing.add(URIS[:1100])
    for offered in (listing, frozenset(URIS[:1100])):
        assert missing_from(offered, [*URIS[1000:], "/other/"]) == [*URIS[1100:], "/other/"]
