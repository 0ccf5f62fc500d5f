"""The work queue: what is added comes out once, merged; changes before what is due; who was published rests."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.watch.work_queue import WorkQueue

_REPOS = st.sampled_from(["apt", "yum", "pypi"])
_CHANGES = st.dictionaries(_REPOS, st.none() | st.frozensets(st.sampled_from("abcd")))


@given(st.lists(_CHANGES), st.lists(_REPOS))
def test_all_that_was_added_comes_out_once_and_changes_first(
    changes: list[dict[str, frozenset[str] | None]], due: list[str]
) -> None:
    async def drain() -> list[tuple[str, frozenset[str] | None, bool]]:
        queue = WorkQueue()
        for repos in changes:
            queue.add(repos)
        queue.add_due(due)
        taken = []
        while (work := queue.take()) is not None:
            packages = work.order.packages
            taken.append((work.repo, None if packages is None else frozenset(packages), work.order.reread))
        assert queue.is_empty
        return taken

    taken = asyncio.run(drain())
    told: dict[str, frozenset[str] | None] = {}
    for repos in changes:
        for name, packages in repos.items():
            before = told.get(name, frozenset())
            told[name] = None if packages is None or before is None else before | packages
    changed, reread = taken[: len(told)], taken[len(told) :]
    assert {name: packages for name, packages, _ in changed} == told
    # What is asked for anew as a change already is not asked for again.
    covered = {name for name, packages, again in changed if again}
    assert covered == {name for name, packages in told.items() if packages is None and name in due}
    assert sorted(name for name, _, _ in reread) == sorted(set(due) - covered)
    assert all(packages is None and again for _, packages, again in reread)


def test_a_published_repository_rests_and_the_queue_wakes_when_it_may_go_on() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        queue = WorkQueue()
        queue.note("apt", failed=False, published=True)
        published_at = loop.time()
        queue.add({"apt": None, "yum": None})
        await queue.wait()
        work = queue.take()
        assert work is not None
        assert work.repo == "yum"
        assert queue.take() is None
        assert not queue.is_empty
        async with asyncio.timeout(10):
            await queue.wait()
        assert loop.time() - published_at >= 1.0
        work = queue.take()
        assert work is not None
        assert work.repo == "apt"

    asyncio.run(test())


def test_work_that_is_put_back_is_asked_for_anew_if_it_was_to_be() -> None:
    async def test() -> None:
        queue = WorkQueue()
        queue.hear({"apt": frozenset("a")})
        queue.add_due(["yum"])
        for reread in (False, True):
            work = queue.take()
            assert work is not None
            assert (work.heard_at is None) == reread
            queue.put_back(work)
            again = queue.take()
            assert again is not None
            assert again.repo == work.repo
            assert (again.order, again.heard_at) == (work.order, work.heard_at)
        assert queue.is_empty

    asyncio.run(test())


def test_the_mirrors_own_record_is_taken_once() -> None:
    queue = WorkQueue()
    queue.add({}, mirror=True)
    assert queue.take_mirror()
    assert not queue.take_mirror()
    assert queue.is_empty
