"""Garbage collection beside syncs: what a sync relies on stays until it is over; what was taken back stays for good."""

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from packrat_agent.config.load import load
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.changes import Retention
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import UnsignedTree
from packrat_agent.status.reading import read_status
from packrat_agent.sync import collect as collecting
from packrat_agent.sync import disk_look
from packrat_agent.sync.collect import collect, remove_old_indexes
from packrat_agent.sync.context import MirrorContext, Summary
from packrat_agent.sync.disk_look import look
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.sync.sealed_list import Sealer, Seals
from support.generations import publish
from support.mirror_conf import write_mirror_conf

ONE, TWO = (Repo(name, "", name, "apt", ()) for name in ("one", "two"))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[MirrorContext]:
    (tmp_path / "state").mkdir()
    with open_mirror(load(write_mirror_conf(tmp_path, mirror="grace_period: 0\nkeep_generations: 1\n"))) as made:
        made.store.repos.save([ONE, TWO])
        yield made


def put(context: MirrorContext, path: str) -> StoredFile:
    target = context.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(path)
    status = target.stat()
    sha256 = hashlib.sha256(path.encode()).hexdigest()
    return StoredFile(path, sha256, status.st_size, status.st_mtime_ns, status.st_ino)


def withdraw(context: MirrorContext, repo: Repo, path: str, now: float = 2.0) -> None:
    """Put a package file there that no index names any more."""
    file = put(context, path)
    context.store.live.adopt(repo.name, [(file, file.sha256)], 1.0)
    context.store.live.finish(UnsignedTree(repo, (), ()), (), (), now, withdrawn=[path])


def test_a_clock_that_jumps_ahead_for_a_moment_takes_nothing_away(
    context: MirrorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = replace(context, retention=replace(context.retention, packages_s=3600.0))
    put(context, "one/pool/old")
    asyncio.run(collect(patient, look(context, lambda files, size: None), Summary()))
    withdraw(context, ONE, "one/pool/old", time.time())
    ahead = time.time() + 365 * 86400
    with monkeypatch.context() as patched:
        patched.setattr(collecting, "time", SimpleNamespace(time=lambda: ahead))
        remove_old_indexes("one", patient)
        assert asyncio.run(collect(patient, look(context, lambda files, size: None), Summary())) == []
    assert asyncio.run(collect(patient, look(context, lambda files, size: None), Summary())) == []
    assert (context.root / "one/pool/old").exists()


def test_garbage_of_a_repository_that_is_synced_stays_until_the_next_time(context: MirrorContext) -> None:
    for repo in (ONE, TWO):
        withdraw(context, repo, f"{repo.name}/pool/old")
        put(context, f"{repo.name}/untracked")
        (context.staging / f"change-{repo.name}").mkdir()
        (context.staging / f"change-{repo.name}" / "signing-x.rpm").write_text("x")

    async def test() -> None:
        seen = look(context, lambda files, size: None)
        async with context.turns.working(ONE.name):
            assert sorted(await collect(context, seen, Summary())) == ["two/pool/old", "two/untracked"]
            assert [path.name for path in context.staging.iterdir()] == ["change-one"]
        seen = look(context, lambda files, size: None)
        assert sorted(await collect(context, seen, Summary())) == ["one/pool/old", "one/untracked"]
        assert list(context.staging.iterdir()) == []

    asyncio.run(test())


def test_a_sync_that_begins_waits_for_the_portion_that_is_being_collected(context: MirrorContext) -> None:
    async def test() -> None:
        async with context.turns.publishing:
            begun = asyncio.create_task(context.turns.working(ONE.name).__aenter__())
            done, _ = await asyncio.wait([begun], timeout=0.01)
            assert not done
            assert not context.turns.is_working(ONE.name)
        await begun
        assert context.turns.is_working(ONE.name)

    asyncio.run(test())


def test_files_published_after_the_scan_stay(context: MirrorContext) -> None:
    withdraw(context, ONE, "one/pool/back")
    kept = put(context, "one/pool/new")
    seen = look(context, lambda files, size: None)
    context.store.live.reinstate(ONE.name, ["one/pool/back"])
    context.store.live.adopt(ONE.name, [(kept, kept.sha256)], 3.0)
    assert asyncio.run(collect(context, seen, Summary())) == []
    assert (context.root / "one/pool/back").exists()
    assert (context.root / "one/pool/new").exists()


def test_an_old_index_that_may_not_be_removed_stops_no_sync(
    context: MirrorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty, taken = replace(context, retention=Retention(0, 0, 0)), context.root / "one/taken"
    for number, names in enumerate((["taken", "old"], ["new"]), 1):
        for name in names:
            put(context, f"one/{name}")
        publish(context.store, float(number), names, repo=ONE)

    def unlink(path: str, *, dir_fd: int | None = None) -> None:
        if path == taken.name:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        os.remove(path, dir_fd=dir_fd)

    with monkeypatch.context() as patched:
        patched.setattr("packrat_agent.publish.gc.os.unlink", unlink)
        remove_old_indexes(ONE.name, hasty)
    assert (taken.exists(), (context.root / "one/old").exists()) == (True, False)
    # It is still known, and goes as soon as it may.
    remove_old_indexes(ONE.name, hasty)
    assert not taken.exists()
    assert (context.root / "one/new").exists()


def test_a_repository_in_root_dir_itself_is_left_alone_too(context: MirrorContext) -> None:
    context.store.repos.save([replace(ONE, directory="")])
    put(context, "untracked")

    async def test() -> None:
        seen = look(context, lambda files, size: None)
        async with context.turns.working(ONE.name):
            assert await collect(context, seen, Summary()) == []

    asyncio.run(test())


def test_a_key_that_can_not_seal_spoils_the_full_sync_and_stops_nothing(context: MirrorContext, tmp_path: Path) -> None:
    withdraw(context, ONE, "one/pool/old")
    key = SigningKey("A" * 40, "A" * 40, "Gone", "ed25519", 255, None, datetime.now(UTC), tmp_path / "nowhere", None)
    seals = Seals(context.root, context.store, Sealer(key, tmp_path / "secret"), "mirror")
    seen, summary = look(context, lambda files, size: None), Summary()
    assert asyncio.run(collect(replace(context, seals=seals), seen, summary)) == ["one/pool/old"]
    assert not summary.complete
    [(where, reason)] = summary.errors.items()
    assert (where, "A" * 40 in reason) == ("the sealed list", True)
    [fault] = read_status(context.config).side_faults
    assert (fault.what, fault.reason) == (where, f"the sealed list can't be rebuilt: {reason}")
    asyncio.run(collect(context, seen, Summary()))
    assert read_status(context.config).side_faults == ()


def test_a_few_of_very_many_untracked_files_are_logged_and_the_others_counted(
    context: MirrorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "TOLD_LIMIT", 3)
    for number in range(5):
        put(context, f"one/{number}")
    seen = look(context, lambda files, size: None)
    with capture_logs() as logged:
        assert len(asyncio.run(collect(context, seen, Summary()))) == 5
    told = [line for line in logged if line["event"] == "untracked"]
    assert [line.get("path") for line in told] == ["one/0", "one/1", "one/2", None]
    assert (told[-1]["count"], told[-1]["text"]) == (2, "this many more were removed")
    with capture_logs() as logged:
        told_of = collecting._UntrackedLog(context.root)
        for number in range(5):
            told_of.denied(str(number))
        told_of.end()
    assert [line.get("path") for line in logged] == ["0", "1", "2", None]
    assert (logged[-1]["count"], logged[-1]["log_level"]) == (2, "warning")


def test_each_full_sync_removes_a_bounded_number_of_untracked_files(
    context: MirrorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    withdraw(context, ONE, "one/pool/old", time.time())
    monkeypatch.setattr(disk_look, "_UNTRACKED_LIMIT", 3)
    patient = replace(context, retention=replace(context.retention, packages_s=3600.0))
    for number in range(8):
        put(context, f"two/{number}")
    for number in range(4):
        (context.root / f"two/link-{number}").symlink_to("nowhere")
    for left in (6, 2, 0):
        with capture_logs() as logged:
            seen = look(patient, lambda files, size: None)
        assert [line["count"] for line in logged if "left for the next" in str(line.get("text"))] == [left] * bool(left)
        asyncio.run(collect(patient, seen, Summary()))
    assert not (context.root / "two").exists()
    assert (context.root / "one/pool/old").exists()


def test_files_that_may_not_be_removed_take_no_turn_from_others(
    context: MirrorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    withdraw(context, ONE, "one/pool/old", time.time())
    monkeypatch.setattr(disk_look, "_UNTRACKED_LIMIT", 3)
    patient = replace(context, retention=replace(context.retention, packages_s=3600.0))
    # As if they stood in a directory of another user.
    for name in ("another-1", "another-2", "another-3", "another-4", "two/a", "two/b"):
        put(context, name)
        (context.root / f"{name}-link").symlink_to("nowhere")
    unlink = os.unlink

    def refuse(path: str, *arguments: object, **more: int) -> None:
        if path.startswith("another"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        unlink(path, *arguments, **more)

    monkeypatch.setattr(os, "unlink", refuse)
    found = []
    for _ in range(3):
        seen = look(patient, lambda files, size: None)
        found.append([file.path for file in seen.found.untracked])
        asyncio.run(collect(patient, seen, Summary()))
    assert found[:2] == [["another-1", "another-2", "another-3"], ["another-4", "two/a", "two/b"]]
    # And what could not be removed has its turn again.
    assert found[2] == ["another-1", "another-2", "another-3"]
    assert not (context.root / "two").exists()


def test_any_number_of_kept_files_hinders_no_removal(context: MirrorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    withdraw(context, ONE, "one/pool/old", time.time())
    monkeypatch.setattr(disk_look, "_UNTRACKED_LIMIT", 3)
    keeping = replace(context, kept=frozenset({"archive"}))
    for number in range(8):
        put(context, f"archive/{number}")
        (context.root / f"archive/link-{number}").symlink_to("nowhere")
    put(context, "two/stray")
    with capture_logs() as logged:
        asyncio.run(collect(keeping, look(keeping, lambda files, size: None), Summary()))
    assert [line for line in logged if "left for the next" in str(line.get("text"))] == []
    assert (len(list((context.root / "archive").iterdir())), (context.root / "two").exists()) == (16, False)


def test_before_anything_is_remembered_every_file_is_listed_since_it_may_be_adopted(
    context: MirrorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_look, "_UNTRACKED_LIMIT", 3)
    for number in range(8):
        put(context, f"two/{number}")
    assert len(look(context, lambda files, size: None).found.untracked) == 8
