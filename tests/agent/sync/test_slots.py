"""What goes on at the same time for a whole mirror: full syncs leave room for changes, and wait for those heard of."""

import asyncio

import pytest

from packrat_agent.sync.slots import Slots


async def _take(slots: Slots, taken: list[str], name: str, *, urgent: bool) -> None:
    async with slots.one(urgent=urgent):
        taken.append(name)


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("ends", ["served", "nothing expected"])
def test_a_full_sync_takes_no_slot_until_a_change_that_was_heard_of_is_served(ends: str) -> None:
    async def test() -> None:
        slots, taken = Slots(2), list[str]()
        slots.expect(["apt-dev"])
        full = asyncio.ensure_future(_take(slots, taken, "full", urgent=False))
        await _settle()
        assert taken == []
        await _take(slots, taken, "change", urgent=True)
        await _settle()
        assert taken == ["change"], "it is not published yet"
        if ends == "served":
            slots.served("apt-dev")
        else:
            slots.expect_nothing()
        await full
        assert taken == ["change", "full"]

    asyncio.run(asyncio.wait_for(test(), 60))


def test_one_slot_is_for_changes_alone() -> None:
    async def test() -> None:
        slots, taken = Slots(2), list[str]()
        async with slots.one(urgent=False):
            second = asyncio.ensure_future(_take(slots, taken, "second full", urgent=False))
            await _settle()
            await _take(slots, taken, "change", urgent=True)
            assert taken == ["change"]
        await second
        assert taken == ["change", "second full"]

    asyncio.run(asyncio.wait_for(test(), 60))
