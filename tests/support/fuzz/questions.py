"""All that the agent asks a server, and what must hold whatever it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.upstream.client import Packrat
from packrat_core.errors import PackratError, Refused

PATIENCE_S = 20.0


def assert_stays_inside(repo: Repo, file: PackageFile) -> None:
    """Whatever the type, the place of a file is below root_dir and is its name there."""
    for form in FORMATS.values():
        with suppress(Refused):
            path = PurePosixPath(path_in_root(repo, form.place(repo, file)))
            assert not path.is_absolute()
            assert str(path).startswith(f"{repo.directory}/")
            assert not {"..", ".", ""} & set(str(path).split("/"))
            assert str(path).isprintable()


async def ask_everything(server: Packrat) -> None:
    """Ask all that the agent asks."""
    ways: list[Callable[[], Awaitable[Any]]] = [
        server.open,
        lambda: server.changes(None, 1),
        lambda: server.poll(Repo("apt-dev", "", "apt-dev", "apt", ()), 1),
        server.heartbeat,
    ]
    for way in ways:
        with suppress(PackratError):
            await asyncio.wait_for(way(), PATIENCE_S)
    with suppress(PackratError):
        view = await asyncio.wait_for(server.view(), PATIENCE_S)
        for repo in view.repos:
            wanted = await asyncio.wait_for(server.wanted(repo, None, {}), PATIENCE_S)
            for file in wanted.files:
                assert_stays_inside(repo, file)
            repr(wanted).encode()
