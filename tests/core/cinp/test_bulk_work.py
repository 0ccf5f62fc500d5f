"""Bulk work takes turns: as many at once as the pace allows, in order, and none is lost when somebody gives up."""

import asyncio

from packrat_core.cinp.bulk_pace import Pace
from packrat_core.cinp.bulk_work import BulkWork


def test_turns_are_given_in_order_and_more_at_once_after_good_answers() -> None:
    async def test() -> None:
        bulk = BulkWork(Pace(2))
        order: list[int] = []
        most = now = 0
        gate = asyncio.Event()

        async def work(number: int) -> None:
            nonlocal most, now
            async with bulk.turn() as turn:
                order.append(number)
                now += 1
                most = max(most, now)
                await gate.wait()
                turn.note_answer()
                # The answer is read while the next one is asked for.
                await asyncio.sleep(0)
                now -= 1

        tasks = [asyncio.create_task(work(number)) for number in range(6)]
        while not order:
            await asyncio.sleep(0)
        assert (order, bulk.is_busy) == ([0], True)
        gate.set()
        await asyncio.gather(*tasks)
        assert order == [0, 1, 2, 3, 4, 5]
        assert most == 2
        assert bulk.is_busy, "between two portions it is not over"

    asyncio.run(test())


def test_a_caller_that_gives_up_blocks_nobody() -> None:
    async def test() -> None:
        bulk = BulkWork(Pace(1))
        first = bulk.turn()
        await first.__aenter__()
        waiting = [asyncio.create_task(bulk.turn().__aenter__()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait([waiting[0]])
        # The turn goes to the second one, which is cancelled before it notices.
        await first.__aexit__(None, None, None)
        waiting[1].cancel()
        await asyncio.wait([waiting[1]])
        async with asyncio.timeout(60), bulk.turn():
            pass

    asyncio.run(test())


def test_nothing_is_busy_before_there_is_work() -> None:
    async def test() -> None:
        assert not BulkWork(Pace(2)).is_busy

    asyncio.run(test())
