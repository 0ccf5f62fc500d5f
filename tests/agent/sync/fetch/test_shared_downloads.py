"""Downloads that several syncs want at the same time: each file once, a bound for all, and room for changes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from packrat_agent.sync.fetch.shared_downloads import Share, SharedDownloads
from packrat_agent.sync.slots import Slots
from packrat_core.errors import ServerUnavailable

A, B = "a" * 64, "b" * 64
DEADLINE_S = 60


class Server:
    """Gives a file once it may, or fails; counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may = asyncio.Event()
        self.was_asked = asyncio.Event()
        self.fails = 0

    def of(self, share: Share, sha256: str = A) -> Callable[[], Awaitable[Path]]:
        async def download() -> Path:
            self.asked.append(sha256)
            self.was_asked.set()
            await self.may.wait()
            if self.fails:
                self.fails -= 1
                raise ServerUnavailable("away")
            target = share.staging / sha256
            target.write_text("content")
            return target

        return download


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path / "one", tmp_path / "two"


def test_a_file_that_two_syncs_want_is_downloaded_once_for_both(two: tuple[Path, Path]) -> None:
    async def test() -> None:
        server, downloads = Server(), SharedDownloads(4)
        with downloads.share(two[0], urgent=False) as one, downloads.share(two[1], urgent=True) as other:
            one.want([A])
            other.want([A])
            getting = [asyncio.create_task(share.get(A, server.of(share))) for share in (one, other)]
            await server.was_asked.wait()
            server.may.set()
            staged = await asyncio.gather(*getting)
        assert staged == [two[0] / A, two[1] / A]
        assert staged[0].samefile(staged[1])
        assert server.asked == [A]

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


def test_a_sync_that_waited_for_a_failed_download_tries_it_itself(two: tuple[Path, Path]) -> None:
    async def test() -> None:
        server, downloads = Server(), SharedDownloads(4)
        server.fails = 1
        server.may.set()
        with downloads.share(two[0], urgent=False) as one, downloads.share(two[1], urgent=False) as other:
            got = await asyncio.gather(
                *(share.get(A, server.of(share)) for share in (one, other)), return_exceptions=True
            )
        assert isinstance(got[0], ServerUnavailable)
        assert got[1] == two[1] / A
        assert server.asked == [A, A]

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


def test_files_staged_by_another_sync_or_a_dead_process_are_taken_over(two: tuple[Path, Path], tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / B).write_text("left")
        server, downloads = Server(), SharedDownloads(4, {B: tmp_path / B})
        server.may.set()
        with downloads.share(two[0], urgent=False) as one, downloads.share(two[1], urgent=False) as late:
            await one.get(A, server.of(one))
            late.want([A, B])
            assert late.find(A) == two[1] / A
            # Nobody has verified it yet.
            assert late.find(B) is None
            assert (two[1] / B).read_text() == "left"
            # A sync that comes later gets it, too.
            one.want([B])
            assert (two[0] / B).samefile(two[1] / B)

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


def test_a_sync_knows_that_another_one_has_ended_beside_it(two: tuple[Path, Path]) -> None:
    downloads = SharedDownloads(4)
    with downloads.share(two[0], urgent=False):
        pass
    with downloads.share(two[0], urgent=False) as one:
        assert not one.want([A])
        with downloads.share(two[1], urgent=True) as other:
            assert not other.want([A])
        assert one.want([A])


@pytest.mark.parametrize("gone", [A, B])
def test_a_sync_knows_that_another_one_has_published_and_not_ended(two: tuple[Path, Path], gone: str) -> None:
    """It removes the files from staging one after the other: any of them may be the first."""

    async def test() -> None:
        server, downloads = Server(), SharedDownloads(4)
        server.may.set()
        with downloads.share(two[0], urgent=False) as one, downloads.share(two[1], urgent=False) as late:
            staged = {sha256: await one.get(sha256, server.of(one, sha256)) for sha256 in (A, B)}
            staged[gone].unlink()
            (other,) = {A, B} - {gone}
            assert not late.want([other])
            assert late.want([gone])
            assert late.find(other) is not None
            assert late.find(gone) is None

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


@pytest.mark.parametrize(("total", "full_syncs"), [(1, 1), (2, 1), (4, 3)])
def test_full_syncs_leave_a_slot_to_changes(total: int, full_syncs: int) -> None:
    async def test() -> None:
        slots, held, free = Slots(total), [], asyncio.Event()

        async def hold(name: str, *, urgent: bool) -> None:
            async with slots.one(urgent=urgent):
                held.append(name)
                await free.wait()

        tasks = [asyncio.create_task(hold("full", urgent=False)) for _ in range(6)]
        tasks += [asyncio.create_task(hold("change", urgent=True)) for _ in range(6)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert held == ["full"] * full_syncs + ["change"]
        free.set()
        await asyncio.gather(*tasks)
        # Changes go first.
        assert held[full_syncs:] == ["change"] * 6 + ["full"] * (6 - full_syncs)

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


def test_a_full_sync_waits_for_changes_that_are_expected() -> None:
    async def test() -> None:
        slots, held = Slots(2), []

        async def hold() -> None:
            async with slots.one(urgent=False):
                held.append("full")

        slots.expect(["apt", "yum"])
        full = asyncio.create_task(hold())
        for repo in ("apt", "yum"):
            await asyncio.sleep(0)
            assert held == []
            slots.served(repo)
        await full

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


def test_a_claimed_download_is_waited_for_and_a_failed_one_is_left_to_others(two: tuple[Path, Path]) -> None:
    async def test() -> None:
        server, downloads = Server(), SharedDownloads(4)
        server.may.set()
        with downloads.share(two[0], urgent=False) as one, downloads.share(two[1], urgent=True) as other:
            one.want([A, B])
            other.want([A, B])
            async with one.claim([A, B]) as claim:
                assert set(claim.sha256s) == {A, B}
                getting = [asyncio.create_task(other.get(sha256, server.of(other, sha256))) for sha256 in (A, B)]
                async with other.claim([A, B]) as nothing:
                    assert not nothing.sha256s
                (two[0] / A).write_text("content")
                claim.have({A: two[0] / A})
                # A is there before the claim is over, B is not.
                assert await getting[0] == two[1] / A
                assert set(claim.sha256s) == {B}
                assert not server.asked
            assert await getting[1] == two[1] / B
            assert server.asked == [B]
            async with one.claim([A, B]) as again:
                # The other one has B, and this one wants it.
                assert not again.sha256s
        assert not downloads.in_flight

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


def test_a_claim_takes_one_slot_and_leaves_nothing_when_it_is_cancelled(two: tuple[Path, Path]) -> None:
    async def test() -> None:
        downloads = SharedDownloads(2)
        with downloads.share(two[0], urgent=False) as share:
            claimed = asyncio.Event()

            async def hold() -> None:
                async with share.claim([A, B]):
                    claimed.set()
                    await asyncio.Event().wait()

            first, second = asyncio.create_task(hold()), asyncio.create_task(hold())
            await claimed.wait()
            assert set(downloads.in_flight) == {A, B}
            claimed.clear()
            first.cancel()
            # Full syncs have one slot of two, so the second waits for the first.
            await claimed.wait()
            assert set(downloads.in_flight) == {A, B}
            second.cancel()
            await asyncio.wait([first, second])
        assert not downloads.in_flight

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))
