"""How many bytes the state database writes to disk where a full build notes very many files."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.state.store import Store

REPO = Repo("apt-dev", "", "apt-dev", "apt", (DistroVersion("bookworm", "debian", "12", "deb"),))
COUNT = 3000


def record(number: int, package: str) -> PackageFile:
    file_name = f"{package}_1.0-1_amd64.deb"
    return PackageFile(
        *(f"/api/v2/Package/PackageFile:{number}:", package, "bookworm", "1.0-1", "deb", "amd64"),
        *(f"/files/{file_name}", file_name, f"{number:064x}"),
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    made.repos.save([REPO])
    # A cache that holds as little of this database as the usual one does of a database of 100,000 files.
    made._db.rows("PRAGMA cache_size = 20")
    yield made
    made.close()


def written_bytes() -> int:
    """What this process has written so far, temporary files included."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def note(store: Store, records: Sequence[PackageFile]) -> int:
    places = {file.uri: f"apt-dev/pool/{file.package[:6]}/{file.file_name}" for file in records}
    before = written_bytes()
    store.record_reads.note(REPO.name, records, 1.0, places)
    return written_bytes() - before


def test_records_are_written_in_the_order_of_the_indexes_whatever_order_they_come_in(store: Store) -> None:
    names = [f"package{number:05}" for number in range(2 * COUNT)]
    in_order = [record(number, name) for number, name in enumerate(names[:COUNT])]
    mixed = [record(COUNT + number, name) for number, name in enumerate(names[COUNT:])]
    random.Random(1).shuffle(mixed)
    ordered_bytes = note(store, in_order)
    assert note(store, mixed) < 1.5 * ordered_bytes


def test_files_that_become_live_are_written_to_no_temporary_file_first(store: Store, tmp_path: Path) -> None:
    records = [record(number, f"package{number:05}") for number in range(COUNT)]
    note(store, records)
    store._db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    before, some = written_bytes(), {file.uri for file in records[::7]}
    store.wanted.set_live_among(REPO.name, some, some)
    assert store.wanted.live_count(REPO.name) == len(some)
    log_bytes = (tmp_path / "state.db-wal").stat().st_size
    assert written_bytes() - before < log_bytes + 50_000
