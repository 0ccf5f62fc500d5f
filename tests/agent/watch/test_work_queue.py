"""The work queue: what is added comes out once, merged; changes beside what is due; who was published rests."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.sync.context import Order
from packrat_agent.watch.work_queue import WorkQueue

_REPOS = st.sampled_from(["apt", "yum", "pypi"])
_CHANGES = st.dictionaries(_REPOS, st.none() | st.frozensets(st.sampled_from("abcd"), min_size=1))
_EVERYTHING = Order(None, reread=True)


def drain(queue: WorkQueue, reading: frozenset[str] = frozenset()) -> list[tuple[str, Order]]:
    """Take all changes."""
    taken = []
    while (work := queue.take((), reading)) is not None:
        taken.append(work)
    return taken


def drain_due(queue: WorkQueue) -> list[tuple[str, Order]]:
    taken = []
    while (work := queue.take_due()) is not None:
        taken.append(work)
    return taken


def test_what_is_due_wakes_who_waits() -> None:
    async def test() -> None:
        queue = WorkQueue()
        waiting = asyncio.create_task(queue.wait())
        await asyncio.sleep(0)
        queue.add_due(["apt"])
        await asyncio.wait_for(waiting, 60)

    asyncio.run(test())


@given(st.lists(_CHANGES), st.lists(_REPOS))
def test_all_that_was_added_comes_out_once(changes: list[dict[str, frozenset[str] | None]], due: list[str]) -> None:
    async def test() -> tuple[list[tuple[str, Order]], list[tuple[str, Order]]]:
        queue = WorkQueue()
        for repos in changes:
            queue.hear(repos)
        queue.add_due(due)
        return drain(queue), drain_due(queue)

    taken, reread = asyncio.run(test())
    told: dict[str, frozenset[str] | None] = {}
    for repos in changes:
        for name, packages in repos.items():
            before = told.get(name, frozenset())
            told[name] = None if packages is None or before is None else before | packages
    assert {name: order.packages for name, order in taken} == told
    assert all(order.heard_at is not None and not order.reread for _, order in taken)
    assert sorted(name for name, _ in reread) == sorted(set(due))
    assert all(order == _EVERYTHING for _, order in reread)


def test_names_without_an_end_are_not_kept_and_all_of_their_repository_is_looked_at() -> None:
    async def test() -> None:
        queue = WorkQueue(names_limit=100)
        queue.hear({"yum": frozenset("ab")})
        for number in range(98):
            queue.hear({"apt": frozenset({f"p{number}"})})
        assert {name: len(change.packages) for name, change in queue._changed.items()} == {"yum": 2, "apt": 98}
        queue.hear({"apt": frozenset({"one more"})})
        assert [(name, order.packages) for name, order in drain(queue)] == [("yum", {"a", "b"}), ("apt", None)]

    asyncio.run(test())


def test_a_full_sync_covers_a_change_that_nobody_told_of() -> None:
    async def test() -> None:
        queue = WorkQueue()
        queue.add({"new": None, "other": None})
        queue.hear({"told": None})
        queue.add_due(["new", "told"])
        assert sorted(name for name, _ in drain(queue)) == ["other", "told"]
        assert sorted(name for name, _ in drain_due(queue)) == ["new", "told"]

    asyncio.run(test())


def test_only_named_packages_of_a_repository_that_is_first_read_are_taken() -> None:
    async def test() -> None:
        queue = WorkQueue()
        queue.hear({"apt": None, "yum": None})
        queue.hear({"apt": frozenset("a")})
        reading = frozenset({"apt", "yum"})
        assert queue.ready((), reading) == {"apt"}
        assert [(name, order.packages) for name, order in drain(queue, reading)] == [("apt", {"a"})]
        # The rest of it waits, so its sync says nothing of the whole repository.
        assert queue.has_change("apt")
        assert sorted((name, order.packages) for name, order in drain(queue)) == [("apt", None), ("yum", None)]

    asyncio.run(test())


def test_a_busy_repository_waits_and_the_others_do_not() -> None:
    async def test() -> None:
        queue = WorkQueue()
        queue.add({"apt": None, "yum": None})
        queue.add_due(["a", "b"])
        assert queue.ready(["apt"], ()) == {"yum"}
        assert queue.take(["apt"]) == ("yum", Order(None))
        assert queue.take(["apt"]) is None
        assert queue.take_due(["a"]) == ("b", _EVERYTHING)
        assert queue.take_due(["a"]) is None
        assert queue.due == {"a"}

    asyncio.run(test())


def test_a_published_repository_rests_and_the_queue_wakes_when_it_may_go_on() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        # Longer than this process may be kept from going on.
        queue = WorkQueue(rest_s=2.5)
        queue.note("apt", failed=False, published=True)
        published_at = loop.time()
        queue.add({"apt": None, "yum": None})
        await queue.wait()
        assert queue.take() == ("yum", Order(None))
        assert queue.take() is None
        async with asyncio.timeout(60):
            await queue.wait()
        assert loop.time() - published_at >= 2.5
        assert queue.take() == ("apt", Order(None))

    asyncio.run(test())


def test_work_that_is_put_back_comes_out_as_it_was() -> None:
    async def test() -> None:
        queue = WorkQueue()
        queue.hear({"apt": frozenset("a")})
        queue.add_due(["yum"])
        for take in (queue.take, queue.take_due):
            work = take()
            assert work is not None
            assert take() is None
            queue.put_back(*work)
            assert take() == work

    asyncio.run(test())


def test_the_mirrors_own_record_is_taken_once() -> None:
    queue = WorkQueue()
    queue.add({}, mirror=True)
    assert queue.take_mirror()
    assert not queue.take_mirror()


def test_a_wait_that_is_cancelled_when_something_comes_ends() -> None:
    async def test(rounds: int) -> None:
        # No burst ends by itself in this time, however long this process rests.
        queue = WorkQueue(quiet_s=60.0, longest_burst_s=60.0)
        queue.wake()
        waiting = asyncio.create_task(queue.wait())
        await asyncio.sleep(0)
        queue.wake()
        # What comes wakes the wait in a few steps, each in a round of the event loop.
        for _ in range(rounds):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=60)
        assert waiting.cancelled()

    for rounds in range(6):
        asyncio.run(test(rounds))
