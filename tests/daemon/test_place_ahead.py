"""The files of a large new repository are placed some at a time, and nobody can tell by what comes out."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.model.entries import Refusal
from packrat_agent.model.records import Wanted
from packrat_agent.state.fragment_backup import MADE_DIR
from packrat_agent.sync import place_ahead, repo_sync
from packrat_agent.sync.build import Made
from packrat_agent.sync.context import Order, Summary, SyncResult
from packrat_agent.sync.fetch import download
from packrat_agent.sync.fetch.download import Retries
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.job import Job
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.sync.planning import reconcile_portions
from packrat_agent.sync.planning.plan_repo import Asked
from packrat_agent.sync.planning.reconcile import reconcile
from packrat_agent.sync.planning.scope import Scope
from packrat_agent.sync.repo_sync import sync_repo
from packrat_agent.upstream.connection import connected
from packrat_demo.build_deb import Deb, build_deb
from support.keys import Key
from support.kinds import APT, PYPI, YUM, Kind
from support.original_server import OriginalServer, original_server
from support.stage import Server, Stage
from support.type_stage import type_stage

PACKAGES = [(f"package{number}", "1.0") for number in range(7)]


@contextmanager
def few_at_once(monkeypatch: pytest.MonkeyPatch, many: int = 3) -> Iterator[list[int]]:
    """Place more than so many files two packages at a time; gives how many entries each portion had."""
    placed: list[int] = []
    settle = place_ahead._settle

    def note(job: Job, portion: place_ahead._Portion, made: Made) -> None:
        settle(job, portion, made)
        placed.append(len(made.entries))

    with monkeypatch.context() as patched:
        patched.setattr(place_ahead, "MANY", many)
        patched.setattr(place_ahead, "_FILES", 2)
        patched.setattr(place_ahead, "_settle", note)
        yield placed


def sync_now(config: Path) -> Summary:
    async def work() -> Summary:
        with open_mirror(load(config)) as mirror:
            async with connected(mirror.config) as server:
                return await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)

    return asyncio.run(work())


@pytest.mark.parametrize("kind", [APT, YUM, PYPI], ids=lambda kind: kind.name)
def test_a_new_repository_comes_out_as_ever(
    kind: Kind, key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with type_stage(tmp_path, key, kind) as made:
        made.put_many(PACKAGES)
        with few_at_once(monkeypatch) as placed:
            [result] = sync_now(made.lab.config).syncs
            assert placed == [2, 2, 2, 1]
            assert len(result.added) == len(set(result.added)) == len(PACKAGES)
            assert result.added == sorted(result.added)
            assert made.offered() == made.expected(*PACKAGES)
            assert made.lab.agent("verify").returncode == 0
            indexes = made.indexes()
            # Once something is published, clients see all that comes at one time.
            made.put_many([(f"later{number}", "1.0") for number in range(5)])
            [result] = sync_now(made.lab.config).syncs
            assert len(placed) == 4
            assert len(result.added) == 5
        assert not [name for result in sync_now(made.lab.config).syncs for name in result.publications]
        made.lab.agent("verify")
        assert made.indexes() != indexes


def test_the_index_is_the_same_as_that_of_one_go(key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with original_server() as original:
        for name, version in PACKAGES:
            put_deb(original, name, version)
        found = []
        for name, many in (("one-go", 1000), ("ahead", 3)):
            made = mirror_of(original, tmp_path / name, key)
            with few_at_once(monkeypatch, many):
                assert sync_now(made.config).complete
            found.append(made.packages())
            made.agent("verify")
        assert found[0] == found[1]
        assert found[0].count("Package: ") == len(PACKAGES)


def test_what_is_placed_ahead_is_not_planned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[Scope] = []

    def note(scope: Scope, *arguments: Any, **options: Any) -> Any:
        planned.append(scope)
        return reconcile(scope, *arguments, **options)

    monkeypatch.setattr(reconcile_portions, "reconcile", note)
    with original_server() as original:
        for name, version in PACKAGES:
            put_deb(original, name, version)
        put_deb(original, "torn", "1.0", b"!<arch>\n")
        with few_at_once(monkeypatch):
            sync_now(mirror_of(original, tmp_path / "mirror").config)
    assert [scope.packages for scope in planned] == [frozenset({"torn"})]


def put_deb(server: OriginalServer, name: str, version: str, content: bytes | None = None) -> int:
    deb = Deb(name, version, "all")
    return server.put(name, version, deb.file_name, build_deb(deb) if content is None else content)


def mirror_of(server: OriginalServer, directory: Path, key: Key | None = None) -> Stage:
    directory.mkdir(exist_ok=True)
    made = Stage(directory, Server(directory, "", server.url), server.psk, key)
    made.write_config()
    return made


def test_files_that_cannot_be_placed_ahead_are_logged_as_usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with original_server() as original:
        for name, version in PACKAGES:
            put_deb(original, name, version)
        put_deb(original, "another", "1.0", build_deb(Deb("other", "1.0", "all")))
        put_deb(original, "torn", "1.0", b"!<arch>\n")
        # Its place is that of another file.
        put_deb(original, "package3", "1.0", build_deb(Deb("package3", "1.0", "all", (("Section", "other"),))))
        found = []
        for name, many in (("one-go", 1000), ("ahead", 3)):
            made = mirror_of(original, tmp_path / name)
            with few_at_once(monkeypatch, many) as placed:
                summary = sync_now(made.config)
            [result] = summary.syncs
            told = [sorted((refusal.file.package, refusal.reason) for refusal in some) for some in told_of(result)]
            found.append((summary.complete, result.added, told, made.packages()))
            assert bool(placed) == (many == 3)
            # What is refused for good is told once.
            [again] = sync_now(made.config).syncs
            assert (again.newly_refused, again.added) == ([], [])
        assert found[0] == found[1]
        assert [package for some in found[0][2] for package, _ in some]


def told_of(result: SyncResult) -> tuple[list[Refusal], ...]:
    return result.refused, result.newly_refused, result.failed


def test_a_change_that_comes_between_is_published_at_once_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with original_server(workers=8) as original:
        for name, version in PACKAGES:
            put_deb(original, name, version)
        made = mirror_of(original, tmp_path / "mirror")

        async def work() -> SyncResult:
            with open_mirror(load(made.config)) as mirror:
                async with connected(mirror.config) as server:

                    async def run(order: Order) -> SyncResult:
                        result = await sync_repo(repo, order, server, mirror, lambda files, size: None)
                        assert not result.failed
                        return result

                    mirror.store.repos.save([*(await server.view()).repos])
                    [repo] = mirror.store.repos.all()
                    with original.holding("package2_") as second, original.holding("package4_") as third:
                        full = asyncio.ensure_future(run(Order(None, reread=True)))
                        await asyncio.to_thread(second.until_waiting, 1)
                        await asyncio.to_thread(put_deb, original, "urgent", "1.0")
                        await run(Order(["urgent"]))
                        assert indexed(made) == ["package0", "package1", "urgent"]
                        second.end()
                        await asyncio.to_thread(third.until_waiting, 1)
                        # What is placed takes nothing away from those who read the index now.
                        assert indexed(made) == ["package0", "package1", "urgent"]
                        numbers = {file.package: number for number, file in original.files.items()}
                        original.delete(numbers["package4"])
                        await run(Order(["package4"]))
                        await asyncio.to_thread(put_deb, original, "urgent", "2.0")
                        await run(Order(["urgent"]))
                        assert indexed(made) == ["package0", "package1", "package2", "package3", "urgent", "urgent"]
                        third.end()
                        result = await full
                    await run(Order(["urgent"]))
                    [again] = (await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)).syncs
                    assert not again.publications
                    return result

        with few_at_once(monkeypatch) as placed:
            result = asyncio.run(work())
        assert sum(placed) >= 4
        assert indexed(made) == [*(name for name, _ in PACKAGES if name != "package4"), "urgent", "urgent"]
        assert not [path for path in result.added if "package4" in path]
        made.agent("verify")


def indexed(made: Stage) -> list[str]:
    """The packages that the index names, by their names."""
    lines = made.packages().splitlines()
    return sorted(line.removeprefix("Package: ") for line in lines if line.startswith("Package: "))


@pytest.mark.parametrize(
    "step",
    ["download-renamed:3", "publish-noted:2", "package-placed:3", "content-flushed:2", "published-noted:2"],
)
def test_killed_between_two_portions(step: str, key: Key, tmp_path: Path) -> None:
    program = (
        "import packrat_agent.sync.place_ahead as ahead; ahead.MANY, ahead._FILES = 3, 2; "
        "from packrat_agent.cli.main import main; main()"
    )
    with original_server() as original:
        for name, version in PACKAGES:
            put_deb(original, name, version)
        made = mirror_of(original, tmp_path / "mirror", key)
        line = [sys.executable, "-c", program, "--config", str(made.config), "sync"]
        died = subprocess.run(
            line, env={**os.environ, "PACKRAT_AGENT_DIE_AT": step}, capture_output=True, check=False, timeout=120
        )
        assert died.returncode == -9, died.stderr
        # Nothing of it is published yet.
        assert not list(made.repo.rglob("*Release*"))
        before = original.count("GET /files/")
        subprocess.run(line, check=True, capture_output=True, timeout=120)
        assert original.count("GET /files/") - before < len(PACKAGES)
        assert made.packages().count("Package: ") == len(PACKAGES)
        made.agent("verify")


def test_one_sync_tries_the_rest_where_the_server_goes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with original_server() as original:
        for name, version in PACKAGES:
            put_deb(original, name, version)
        made = mirror_of(original, tmp_path / "mirror")
        original.manners.cut_files = 1000
        monkeypatch.setattr(download, "Retries", lambda: Retries(tries=1, given_up=1))
        with few_at_once(monkeypatch) as placed:
            [result] = sync_now(made.config).syncs
        assert placed == [0]
        assert len(result.failed) == result.outstanding == len(PACKAGES)
        assert original.count("GET /files/") == 2 + len(PACKAGES)


def test_one_file_that_can_not_be_had_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with original_server() as original:
        for name, version in PACKAGES:
            put_deb(original, name, version)
        made = mirror_of(original, tmp_path / "mirror")
        original.manners.cut_files = 1
        monkeypatch.setattr(download, "Retries", lambda: Retries(tries=1))
        with few_at_once(monkeypatch) as placed:
            [result] = sync_now(made.config).syncs
        assert placed == [1, 2, 2, 1]
        # The sync that follows has tried it again.
        assert (result.failed, len(result.added)) == ([], len(PACKAGES))


def test_files_that_clients_may_read_are_not_replaced_before_their_index(
    key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with original_server() as original:
        for name, version in PACKAGES:
            put_deb(original, name, version)
        made = mirror_of(original, tmp_path / "mirror", key)
        assert sync_now(made.config).complete
        made.lose_state()
        with few_at_once(monkeypatch) as placed:
            sync_now(made.config)
        # The tree has an index that the state database knows nothing of.
        assert placed == []
        assert indexed(made) == [name for name, _ in PACKAGES]


def test_no_change_takes_over_what_is_left_before_that_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    sync_asked = repo_sync._sync_asked

    async def note(job: Job, asked: Asked, before: int) -> None:
        seen.append("a" * 64 in job.turn.fetching)
        await sync_asked(job, asked, before)
        seen.append("a" * 64 in job.turn.fetching)

    with original_server() as original:
        for name, version in PACKAGES:
            put_deb(original, name, version)
        made = mirror_of(original, tmp_path / "mirror")
        monkeypatch.setattr(repo_sync, "_sync_asked", note)
        with few_at_once(monkeypatch):
            sync_now(made.config)
    assert seen == [True, False]


def test_files_placed_ahead_have_their_backup_at_once(
    key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    settle = place_ahead._settle

    def note(job: Job, portion: place_ahead._Portion, made: Made) -> None:
        settle(job, portion, made)
        [directory] = (job.context.root / MADE_DIR).iterdir()
        there = {path.stem for path in directory.iterdir()}
        assert {entry.file.sha256 for entry in made.entries} <= there
        [source] = job.context.store.fragments.backups([job.context.source_of(job.form, job.repo)]).values()
        assert all(source[entry.file.sha256] for entry in made.entries)
        seen.append(there)

    with type_stage(tmp_path, key, YUM) as lab:
        lab.put_many(PACKAGES)
        with few_at_once(monkeypatch):
            monkeypatch.setattr(place_ahead, "_settle", note)
            sync_now(lab.lab.config)
    assert [len(there) for there in seen] == [2, 4, 6, 7]


def test_nothing_is_placed_by_a_list_that_is_older_than_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_ahead.place_ahead

    async def place_late(job: Job, wanted: Wanted, changes: int) -> None:
        # News of another repository: it publishes nothing, but it could have brought or taken something.
        await sync_repo(job.repo, Order(["unknown"]), job.server, job.context, lambda files, size: None)
        await place(job, wanted, changes)

    with original_server() as original:
        for name, version in PACKAGES:
            put_deb(original, name, version)
        made = mirror_of(original, tmp_path / "mirror")
        monkeypatch.setattr(repo_sync, "place_ahead", place_late)
        with few_at_once(monkeypatch) as placed:
            [result] = sync_now(made.config).syncs
    assert placed == []
    assert len(result.added) == len(PACKAGES)
