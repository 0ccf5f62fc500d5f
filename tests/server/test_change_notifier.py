"""A change wakes those whom it concerns, with an answer that was read once, and nobody else."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, event, text, update
from structlog.testing import capture_logs

from packrat_server import admin
from packrat_server.admin.new_server import init
from packrat_server.api.change_batch import ChangeBatch, Waiter
from packrat_server.api.change_notifier import ChangeNotifier
from packrat_server.serving.change_watch import ChangeWatch
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.journal import Position, note_mirror, note_repo, read_newest
from packrat_server.store.tables import journal

WITHIN_S = 60


@pytest.fixture
def engine(tmp_path: Path, new_database: Callable[[], str | None]) -> Iterator[Engine]:
    init(tmp_path / "server", new_database())
    made = open_database(tmp_path / "server")
    for name in ("one", "two"):
        admin.save_repo(made, admin.NewRepo(name, "apt", "dev", ("bookworm",)))
    yield made
    made.dispose()


def note(engine: Engine, repo: str, package: str) -> None:
    with writing(engine) as connection:
        connection.execute(journal.insert().values(mark="m", at=0.0, repo=repo, package=package))


def newest_of(engine: Engine) -> Position:
    with reading(engine) as connection:
        return read_newest(connection)


def run(engine: Engine, work: Callable[[ChangeNotifier], Awaitable[None]]) -> None:
    """Do some work while a notifier runs that knows the whole journal."""

    async def do() -> None:
        notifier = ChangeNotifier(engine)
        task = asyncio.create_task(notifier.run())
        async with asyncio.timeout(WITHIN_S):
            while notifier.newest_id < newest_of(engine).id:
                await asyncio.sleep(0)
            await work(notifier)
        task.cancel()

    asyncio.run(do())


def notice(engine: Engine, notifier: ChangeNotifier, seen: int, found: int) -> None:
    """Tell the notifier, as the watch does, that the last entry is another one than it was."""
    watch = ChangeWatch(engine, None, notifier)
    watch.notice(seen)
    watch.notice(found)


def waiting(notifier: ChangeNotifier, waiter: Waiter) -> "asyncio.Task[ChangeBatch | None]":
    return asyncio.create_task(notifier.wait(waiter, WITHIN_S))


def test_only_who_is_concerned_is_woken(engine: Engine) -> None:
    async def work(notifier: ChangeNotifier) -> None:
        after = notifier.newest_id
        waiters = [
            Waiter(frozenset({"one"}), "lab", after),
            Waiter(frozenset({"one", "two"}), "both", after, with_records=True),
            Waiter(frozenset({"two"}), "other", after),
        ]
        tasks = [waiting(notifier, waiter) for waiter in waiters]
        await asyncio.sleep(0)
        note(engine, "one", "hello")
        notifier.notify()
        first, second = await asyncio.gather(*tasks[:2])
        assert first is second
        assert first is not None
        assert not tasks[2].done()
        position = str(newest_of(engine))
        assert first.answer(waiters[0]) == (
            b'{"position": "%s", "changes": {"/api/v2/Repo/Repo:one:": ["hello"]}}' % position.encode()
        )
        with_records = first.answer(waiters[1])
        assert with_records is not None
        assert b'"records": {"/api/v2/Repo/Repo:one:": {"hello": {"wanted": {}' in with_records
        # A change of the mirror's own record must be looked up.
        with writing(engine) as connection:
            note_mirror(connection, "other")
        notifier.notify()
        batch = await tasks[2]
        assert batch is not None
        assert batch.answer(waiters[2]) is None

    run(engine, work)


def test_a_waiter_behind_the_notifier_looks_at_once(engine: Engine) -> None:
    async def work(notifier: ChangeNotifier) -> None:
        assert await notifier.wait(Waiter(frozenset({"one"}), None, notifier.newest_id - 1), WITHIN_S) is None

    run(engine, work)


def test_another_database_in_place_of_this_one_wakes_everybody(engine: Engine) -> None:
    note(engine, "one", "hello")

    async def work(notifier: ChangeNotifier) -> None:
        task = waiting(notifier, Waiter(frozenset({"one"}), None, notifier.newest_id))
        notifier.remember_repos("lab", frozenset({"one"}), notifier.newest_id)
        position = str(newest_of(engine))
        assert notifier.known_repos("lab", position) == frozenset({"one"})
        await asyncio.sleep(0)
        before = notifier.newest_id
        with writing(engine) as connection:
            connection.execute(delete(journal).where(journal.c.id == before))
        notice(engine, notifier, seen=before, found=newest_of(engine).id)
        assert await task is None
        assert notifier.newest_id == newest_of(engine).id
        assert notifier.known_repos("lab", position) is None

    run(engine, work)


def test_a_reader_behind_the_notifier_waits_until_the_journal_is_read_again(engine: Engine) -> None:
    note(engine, "one", "hello")

    async def work(notifier: ChangeNotifier) -> None:
        before = notifier.newest_id
        with writing(engine) as connection:
            connection.execute(delete(journal).where(journal.c.id == before))
        found = newest_of(engine).id
        notifier.compare(before, found)
        task = waiting(notifier, Waiter(frozenset({"one"}), None, found))
        await asyncio.sleep(0)
        # It does not look again and again while it waits.
        assert not task.done()
        assert await task is None
        assert notifier.newest_id == found
        # A look that began before the notifier read on says nothing.
        note(engine, "one", "hello")
        notifier.notify()
        while notifier.newest_id == found:
            await asyncio.sleep(0)
        notifier.compare(found, found)
        assert notifier.newest_id == newest_of(engine).id

    run(engine, work)


def test_another_database_that_has_more_entries_wakes_everybody(engine: Engine) -> None:
    note(engine, "one", "hello")

    async def work(notifier: ChangeNotifier) -> None:
        task = waiting(notifier, Waiter(frozenset({"two"}), None, notifier.newest_id))
        await asyncio.sleep(0)
        with writing(engine) as connection:
            connection.execute(update(journal).where(journal.c.id == notifier.newest_id).values(mark="other"))
        note(engine, "one", "hello")
        notifier.notify()
        assert await task is None
        assert str(notifier.newest_id) == str(newest_of(engine).id)

    run(engine, work)


def test_a_repository_that_is_removed_before_its_entry_is_read_holds_up_nobody(engine: Engine) -> None:
    async def work(notifier: ChangeNotifier) -> None:
        waiters = [
            Waiter(frozenset({name}), None, notifier.newest_id, with_records=True) for name in ("one", "two", "three")
        ]
        tasks = [waiting(notifier, waiter) for waiter in waiters]
        await asyncio.sleep(0)
        note(engine, "one", "hello")
        admin.remove_repo(engine, "one")
        note(engine, "two", "hello")
        notifier.notify()
        batch = await tasks[1]
        assert batch is not None
        records = batch.answer(waiters[1])
        assert records is not None
        assert b'"records": {"/api/v2/Repo/Repo:two:": {"hello"' in records
        assert await tasks[0] is batch
        answer = batch.answer(waiters[0])
        assert answer is not None
        assert b'"records": {}' in answer
        assert not tasks[2].done()
        tasks[2].cancel()

    run(engine, work)


def test_an_error_that_nobody_foresaw_is_logged_and_holds_up_nobody(engine: Engine) -> None:
    def rename(old: str, new: str) -> None:
        with writing(engine) as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    async def work(notifier: ChangeNotifier) -> None:
        hashed = b"0" * 32
        task = waiting(notifier, Waiter(frozenset({"one"}), None, notifier.newest_id, hashed))
        await asyncio.sleep(0)
        rename("sessions", "elsewhere")
        note(engine, "one", "hello")
        with capture_logs() as logged:
            notifier.notify()
            assert await task is None
        rename("elsewhere", "sessions")
        assert [(entry["event"], entry["log_level"]) for entry in logged] == [("notifying", "error")]
        while notifier.newest_id < newest_of(engine).id:
            await asyncio.sleep(0)
        task = waiting(notifier, Waiter(frozenset({"one"}), None, notifier.newest_id))
        await asyncio.sleep(0)
        note(engine, "one", "again")
        notifier.notify()
        batch = await task
        assert batch is not None
        assert batch.names("one", 0) == ["again"]

    run(engine, work)


def test_a_waiter_that_comes_while_the_journal_is_read_is_woken_to_look(engine: Engine) -> None:
    async def work(notifier: ChangeNotifier) -> None:
        after = notifier.newest_id
        early = waiting(notifier, Waiter(frozenset({"one"}), None, after, b"a token's hash"))
        await asyncio.sleep(0)
        late: list[asyncio.Task[ChangeBatch | None]] = []

        async def come() -> None:
            late.append(waiting(notifier, Waiter(frozenset({"one"}), None, after)))
            await asyncio.sleep(0)

        def come_late(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            # The query for the sessions comes after those who wait were looked up.
            if "FROM sessions" in statement:
                asyncio.run_coroutine_threadsafe(come(), loop).result()

        loop = asyncio.get_running_loop()
        note(engine, "one", "hello")
        event.listen(engine, "before_cursor_execute", come_late)
        notifier.notify()
        assert await early is not None
        event.remove(engine, "before_cursor_execute", come_late)
        assert await late[0] is None

    run(engine, work)


def test_a_change_of_a_mirror_forgets_its_repositories(engine: Engine) -> None:
    async def work(notifier: ChangeNotifier) -> None:
        notifier.remember_repos("lab", frozenset({"one"}), notifier.newest_id)
        with writing(engine) as connection:
            note_mirror(connection, "lab")
        task = waiting(notifier, Waiter(frozenset(), "lab", notifier.newest_id))
        await asyncio.sleep(0)
        notifier.notify()
        await task
        assert notifier.known_repos("lab", str(newest_of(engine))) is None
        # What was read before that change is not remembered either.
        notifier.remember_repos("lab", frozenset({"one"}), notifier.newest_id - 1)
        assert notifier.known_repos("lab", str(newest_of(engine))) is None

    run(engine, work)


def test_many_entries_at_once_are_told_to_the_last(engine: Engine) -> None:
    async def work(notifier: ChangeNotifier) -> None:
        with writing(engine) as connection:
            rows = [{"mark": "m", "at": 0.0, "repo": "two", "package": f"p{n}"} for n in range(2500)]
            connection.execute(journal.insert(), rows)
        task = waiting(notifier, Waiter(frozenset({"one"}), None, notifier.newest_id))
        await asyncio.sleep(0)
        note(engine, "one", "last")
        notifier.notify()
        batch = await task
        assert batch is not None
        assert batch.names("one", 0) == ["last"]

    run(engine, work)


def test_postgresql_tells_the_newest_entry_once_for_each_statement(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no notifications")
    for mirror in ("lab", "prod"):
        admin.set_mirror(engine, mirror, ["one"])
    with engine.connect() as listening:
        listening.execute(text("LISTEN packrat_journal"))
        listening.commit()
        with writing(engine) as connection:
            note_repo(connection, "one")
        driver = listening.connection.driver_connection
        assert driver is not None
        told = [notification.payload for notification in driver.notifies(timeout=WITHIN_S, stop_after=1)]
        told += [notification.payload for notification in driver.notifies(timeout=0)]
    assert told == [str(newest_of(engine).id)]
