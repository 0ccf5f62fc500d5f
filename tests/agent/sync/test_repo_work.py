"""How far a sync has come is written down while it takes long, and taken back at its end."""

import asyncio
from pathlib import Path

import pytest

from packrat_agent.state.fact_table import FactsRead
from packrat_agent.state.facts import RepoWork
from packrat_agent.state.store import Store
from packrat_agent.sync.repo_work import WorkNotes


class Bench:
    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "state.db")
        self.now = 1000.0
        self.notes = WorkNotes(self.store.facts, "json-dev", lambda: self.now)

    async def told(self) -> tuple[int | None, int | None, int | None, int | None] | None:
        """What `status` would read: (reading, new, done, of)."""
        if self.notes._writing is not None:
            await self.notes._writing
        work: RepoWork | None = FactsRead(self.store._db._connection).work("json-dev")
        return None if work is None else (work.reading, work.new, work.done, work.of)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_large_work_is_reported_at_once_and_taken_back(bench: Bench) -> None:
    async def test() -> None:
        bench.notes.read(4000, 3900)
        assert await bench.told() == (4000, 3900, None, None)
        bench.notes.fetch(4263)
        assert await bench.told() == (None, None, 0, 4263)
        await bench.notes.end()
        assert await bench.told() is None

    asyncio.run(test())


def test_small_work_is_not_reported(bench: Bench) -> None:
    async def test() -> None:
        bench.notes.read(100, 100)
        bench.notes.fetch(100)
        bench.notes.count(1)
        assert await bench.told() is None

    asyncio.run(test())


def test_long_work_is_reported_however_few_the_files(bench: Bench) -> None:
    async def test() -> None:
        bench.notes.fetch(3)
        bench.now += 0.9
        bench.notes.count(1)
        assert await bench.told() is None
        bench.now += 0.2
        bench.notes.count(0)
        assert await bench.told() == (None, None, 1, 3)

    asyncio.run(test())


def test_the_notes_of_a_process_that_was_killed_are_dropped(bench: Bench) -> None:
    bench.store.facts.write_work("a", RepoWork(began=1.0, reading=1, new=1))
    bench.store.facts.drop_work()
    assert FactsRead(bench.store._db._connection).work("a") is None
