"""Bundles: only verified bytes reach staging; what a bundle doesn't bring is downloaded alone; each file comes once."""

import asyncio
from pathlib import Path

import pytest

from packrat_agent.sync.fetch.bundles import AT_ONCE
from packrat_agent.sync.fetch.download import Fetched
from packrat_agent.sync.fetch.shared_downloads import SharedDownloads
from packrat_core.backoff import BackOff
from packrat_core.errors import PackratError, ServerBroken, ServerRefused, ServerUnavailable
from support.bundle_server import DEADLINE_S, fetching, in_staging, make, run, sha256s, until


@pytest.mark.parametrize("count", [1, 2, AT_ONCE, AT_ONCE + 1, 700])
def test_all_files_come_in_bundles_in_their_order_and_are_counted(tmp_path: Path, count: int) -> None:
    placements, server = make(count)
    told: list[tuple[int, int]] = []
    fetched = run(server, tmp_path, placements, told=told)
    assert set(fetched.staged) == sha256s(placements)
    assert not fetched.failed
    # A single one isn't worth a bundle.
    assert len(server.alone) <= 1 < min(map(len, server.bundles), default=2)
    asked = [*(uri for uris in server.bundles for uri in uris), *server.alone]
    wanted = {place.file.sha256: place.file.uri for place in reversed(placements)}
    assert sorted(asked) == sorted(wanted.values())
    large = [uri for uri in asked if server.files[uri]]
    assert large == [place.file.uri for place in placements if server.files[place.file.uri]]
    assert sum(files for files, _ in told) == len(wanted)
    assert sum(size for _, size in told) == sum(len(server.files[uri]) for uri in wanted.values())
    assert in_staging(tmp_path) == set(wanted)


def test_a_file_with_wrong_bytes_is_asked_for_alone_and_fails_as_ever(tmp_path: Path) -> None:
    placements, server = make(50)
    bad = placements[10]
    server.files[bad.file.uri] = b"evil"
    fetched = run(server, tmp_path, placements)
    assert set(fetched.staged) == sha256s(placements) - {bad.file.sha256}
    assert "its record says" in str(fetched.failed[bad.file.sha256])
    assert server.alone == [bad.file.uri]
    assert in_staging(tmp_path) == set(fetched.staged)


def test_files_left_out_of_a_bundle_are_asked_for_alone(tmp_path: Path) -> None:
    placements, server = make(50)
    server.large = {placements[1].file.uri, placements[40].file.uri}
    del server.files[placements[2].file.uri]
    fetched = run(server, tmp_path, placements)
    assert set(fetched.staged) == sha256s(placements) - {placements[2].file.sha256}
    assert "not found" in str(fetched.failed[placements[2].file.sha256])
    assert sorted(server.alone) == sorted(placements[number].file.uri for number in (1, 2, 40))


@pytest.mark.parametrize("most", [1, 7, AT_ONCE - 1])
def test_files_not_covered_by_an_answer_go_into_the_next_bundle(tmp_path: Path, most: int) -> None:
    placements, server = make(AT_ONCE)
    server.most = most
    assert set(run(server, tmp_path, placements).staged) == sha256s(placements)
    # The last one is left for a download of its own where it would be a bundle's only file.
    assert len(server.alone) == (len(sha256s(placements)) % most == 1 or most == 1)
    asked_first = [*(uris[0] for uris in server.bundles), *server.alone]
    assert len(asked_first) == len(set(asked_first)) == -(-len(sha256s(placements)) // most)
    come = [uri for uris in (*server.bundles, server.alone) for uri in uris[:most] if server.files[uri]]
    assert come == [place.file.uri for place in placements if server.files[place.file.uri]]


@pytest.mark.parametrize("cut", [0, 1, 20, 49])
def test_a_bundle_that_breaks_off_keeps_what_came_and_the_rest_is_fetched_alone(tmp_path: Path, cut: int) -> None:
    placements, server = make(50)
    server.cuts = [cut]
    told: list[tuple[int, int]] = []
    fetched = run(server, tmp_path, placements, told=told)
    assert set(fetched.staged) == sha256s(placements)
    (asked,) = server.bundles
    assert sorted(server.alone) == sorted(asked[cut:])
    assert sum(files for files, _ in told) == len(sha256s(placements))


@pytest.mark.parametrize("error", [ServerRefused("no"), ServerBroken("nonsense"), ServerUnavailable("busy", 300.0)])
def test_after_a_refusal_no_more_bundles_are_asked_for(tmp_path: Path, error: PackratError) -> None:
    placements, server = make(6 * AT_ONCE)
    server.refuses = [error]
    fetched = run(server, tmp_path, placements, downloads=SharedDownloads(1))
    assert set(fetched.staged) == sha256s(placements)
    assert len(server.bundles) == 1
    assert len(server.alone) == len(sha256s(placements))


def test_after_some_that_break_off_no_more_bundles_are_asked_for(tmp_path: Path) -> None:
    placements, server = make(9 * AT_ONCE)
    server.cuts = [1] * 9
    assert set(run(server, tmp_path, placements, downloads=SharedDownloads(1)).staged) == sha256s(placements)
    assert len(server.bundles) == 3


def test_failures_that_are_not_in_a_row_stop_nothing(tmp_path: Path) -> None:
    placements, server = make(8 * AT_ONCE)
    away = ServerUnavailable("away")
    server.refuses = [away, away, None, away, away, None, away]
    run(server, tmp_path, placements, downloads=SharedDownloads(1))
    assert len(server.bundles) == -(-len(sha256s(placements)) // AT_ONCE) == 7


def test_files_at_hand_or_begun_are_left_out_of_bundles(tmp_path: Path) -> None:
    placements, server = make(20)
    staging = tmp_path / "staging"
    staging.mkdir()
    whole, begun, damaged, copied = placements[1], placements[2], placements[3], placements[4]
    (staging / whole.file.sha256).write_bytes(server.files[whole.file.uri])
    (staging / f"{begun.file.sha256}.part").write_bytes(server.files[begun.file.uri][:5])
    (staging / damaged.file.sha256).write_bytes(b"damaged")
    (tmp_path / "copy").write_bytes(server.files[copied.file.uri])
    fetched = run(server, tmp_path, placements, sources={copied.file.sha256: "copy"})
    assert set(fetched.staged) == sha256s(placements)
    assert sorted(server.alone) == sorted([begun.file.uri, damaged.file.uri])
    asked = {uri for uris in server.bundles for uri in uris}
    assert not asked & {place.file.uri for place in (whole, begun, damaged, copied)}


def test_two_syncs_that_want_the_same_get_each_file_once(tmp_path: Path) -> None:
    placements, server = make(1000)

    async def both() -> tuple[Fetched, Fetched]:
        downloads = SharedDownloads(4)
        return await asyncio.gather(
            fetching(server, tmp_path, placements, downloads, name="one"),
            fetching(server, tmp_path, placements[::-1], downloads, name="two"),
        )

    one, two = asyncio.run(asyncio.wait_for(both(), DEADLINE_S))
    assert set(one.staged) == set(two.staged) == sha256s(placements)
    asked = [uri for uris in server.bundles for uri in uris] + server.alone
    assert len(asked) == len(sha256s(placements))


def test_a_cancelled_fetch_leaves_nothing_in_flight(tmp_path: Path) -> None:
    async def test() -> None:
        placements, server = make(1000)
        server.may = asyncio.Event()
        downloads = SharedDownloads(4)
        task = asyncio.create_task(fetching(server, tmp_path, placements, downloads))
        await until(lambda: len(downloads.in_flight) >= 3 * AT_ONCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not downloads.in_flight
        server.may.set()
        # A change finds all slots free, and gets what the other one gave up.
        fetched = await fetching(server, tmp_path, placements[:30], downloads, name="other")
        assert set(fetched.staged) == sha256s(placements[:30])

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


def test_bundles_of_a_full_sync_leave_a_slot_to_changes(tmp_path: Path) -> None:
    async def test() -> None:
        placements, server = make(1000)
        server.may = asyncio.Event()
        downloads = SharedDownloads(2)
        task = asyncio.create_task(fetching(server, tmp_path, placements, downloads))
        await until(lambda: bool(server.bundles))
        async with downloads.slots.one(urgent=True):
            assert len(server.bundles) == 1
        server.may.set()
        await task

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


def test_files_that_came_before_a_cancelled_fetch_are_kept(tmp_path: Path) -> None:
    async def test() -> None:
        placements, server = make(100)
        server.stays_open = True
        told: list[tuple[int, int]] = []
        task = asyncio.create_task(fetching(server, tmp_path, placements, told=told))
        await until(lambda: len(told) >= len(sha256s(placements)))
        assert not in_staging(tmp_path)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert in_staging(tmp_path) == sha256s(placements)

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


def test_the_next_bundle_waits_for_as_long_as_the_server_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placements, server = make(300)
    server.refuses = [ServerUnavailable("busy", 7.0), ServerUnavailable("busy", 9.0)]
    asked: list[tuple[int, float]] = []

    def delay_s(_: BackOff, failures: int, asked_s: float = 0.0) -> float:
        asked.append((failures, asked_s))
        return 0.001

    monkeypatch.setattr(BackOff, "delay_s", delay_s)
    run(server, tmp_path, placements, downloads=SharedDownloads(1))
    assert asked == [(1, 7.0), (2, 9.0)]


def test_several_that_are_open_when_the_server_goes_away_count_as_one(tmp_path: Path) -> None:
    async def test() -> None:
        placements, server = make(20 * AT_ONCE)
        server.refuses = [ServerUnavailable("away")] * 5
        server.may = asyncio.Event()
        task = asyncio.create_task(fetching(server, tmp_path, placements, SharedDownloads(6)))
        await until(lambda: len(server.bundles) == 5)
        server.may.set()
        await task
        # Those that were refused are downloaded alone, all others come in bundles.
        assert len(server.alone) == 5 * AT_ONCE

    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))
