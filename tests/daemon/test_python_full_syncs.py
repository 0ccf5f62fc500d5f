"""Full syncs of a Python repository, one after the other in one process, look at nothing that is settled."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from packrat_agent.config.load import load
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.sync.context import SyncResult
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.upstream.connection import connected
from packrat_demo.build_wheel import Python, build_sdist, build_wheel, write_wheel
from support.original_server import OriginalServer, StoredRepo, original_server
from support.original_store import rename
from support.stage import Server, Stage, stage

LOCAL = Python("torch", "2.0.1+cu118", tag="cp311.py3-none-any")
PLAIN = Python("plain", "1.0")
SPELLED = Python("zope_thing", "1.0")


Once = Callable[[], Awaitable[SyncResult]]
"""Does a full sync."""


def in_one_process(config: Path, steps: Callable[[Once], Awaitable[None]]) -> None:
    async def work() -> None:
        with open_mirror(load(config)) as mirror:
            async with connected(mirror.config) as server:

                async def once() -> SyncResult:
                    summary = await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)
                    [result] = [result for result in summary.syncs if result.repo == "pypi-dev"]
                    return result

                await steps(once)

    asyncio.run(work())


def fill(server: OriginalServer) -> dict[str, int]:
    server.repos["pypi-dev"] = StoredRepo("dev", ("pypi",), "pypi")
    files = {rename(LOCAL.wheel_name): build_wheel(LOCAL)}
    files |= {one.wheel_name: build_wheel(one) for one in (PLAIN, SPELLED)}
    files |= {one.sdist_name: build_sdist(one) for one in (PLAIN, SPELLED)}
    return {name: server.upload(name, content, "pypi") for name, content in files.items()}


def tree(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}


def test_settled_files_stay_and_withdrawn_ones_take_their_metadata_along(tmp_path: Path) -> None:
    with original_server() as server:
        numbers = fill(server)
        lab = Stage(tmp_path, Server(tmp_path, "", server.url), server.psk, None)
        lab.extra["grace_period"] = "0"
        lab.write_config()
        top = lab.www / "pypi-dev"

        async def steps(once: Once) -> None:
            assert len((await once()).added) == len(numbers)
            first = tree(top)
            # Under both of its names, with its metadata under that of clients.
            assert [Path(path).name for path in first if "torch" in path and "packages" in path] == [
                *(LOCAL.wheel_name, f"{LOCAL.wheel_name}.metadata", rename(LOCAL.wheel_name))
            ]
            for _ in range(3):
                assert not (await once()).publications
                assert tree(top) == first
            for name in (rename(LOCAL.wheel_name), SPELLED.wheel_name):
                server.delete(numbers[name])
                result = await once()
                assert [Path(path).name for path in result.removed] == [name]
            rest = tree(top)
            gone = [path.rpartition("/")[2] for path in first.keys() - rest.keys() if "packages/" in path]
            assert sorted(gone) == sorted(
                [
                    *(LOCAL.wheel_name, f"{LOCAL.wheel_name}.metadata", rename(LOCAL.wheel_name)),
                    *(SPELLED.wheel_name, f"{SPELLED.wheel_name}.metadata"),
                ]
            )
            # Where somebody took away a metadata file, it is made again.
            (top / "packages/plain" / f"{PLAIN.wheel_name}.metadata").unlink()
            await once()
            assert tree(top) == rest

        in_one_process(lab.config, steps)
        lab.agent("verify")


def test_a_full_sync_tells_which_of_the_settled_files_are_yanked_since(tmp_path: Path) -> None:
    with stage(tmp_path, None, ("pypi",), "pypi") as lab:
        wheels = [write_wheel(Python("tool", version), tmp_path) for version in ("1.0", "2.0")]
        uris = [uri for wheel in wheels for uri in lab.server.put(wheel, ("pypi",))]

        async def steps(once: Once) -> None:
            assert len((await once()).added) == len(wheels)
            await asyncio.to_thread(lab.server.act, uris[1], "deprocate")
            result = await once()
            assert result.publications == ["tool"]
            assert [Path(path).name for path in result.yanked] == [wheels[1].name]
            assert not (await once()).publications
            await asyncio.to_thread(lab.server.act, uris[1], "undeprocate")
            result = await once()
            assert (result.yanked, [Path(path).name for path in result.unyanked]) == ([], [wheels[1].name])

        in_one_process(lab.config, steps)
