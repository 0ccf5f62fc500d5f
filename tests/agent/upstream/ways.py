"""The ways to ask a packrat server, a server whose answers the test gives, and what may come of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from packrat_agent.model.records import Repo
from packrat_agent.upstream.client import Packrat
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.session import Timeouts
from packrat_core.errors import PackratError
from support.replay import Answerer, recorded, replaying

REPO = Repo("apt-dev", "", "apt-dev", "apt", ())
FILES = "/api/v2/Package/PackageFile"
REPOS = "/api/v2/Repo/Repo"
DISTRO_VERSIONS = "/api/v2/Attrib/DistroVersion"
MIRROR = "/api/v2/Repo/Mirror:lab:"
TIMEOUTS = Timeouts(60, 60, 60)
ANSWERS = recorded()

Way = Callable[[CinpClient], Awaitable[Any]]


async def download(client: CinpClient, offset: int) -> bytes:
    """Download a file from an offset on."""
    async with client.open_file("/files/x.deb", offset) as opened:
        return b"".join([chunk async for chunk in opened.chunks()])


async def _download_of_a_mirror(client: CinpClient) -> bytes:
    async with packrat(client).open_file("/files/x.deb", 0) as download:
        return b"".join([chunk async for chunk in download.chunks()])


async def _bundle(client: CinpClient) -> list[tuple[str, bytes]]:
    server = packrat(client)
    server.bundles.offer([f"{FILES}(bundle)"])
    opener = server.bundles.opener(bulk=True)
    assert opener is not None
    async with opener([f"{FILES}:1:", f"{FILES}:2:"]) as opened:
        return [file async for file in opened.files()]


def packrat(client: CinpClient, psk: str | None = "psk") -> Packrat:
    """The server as the agent of the mirror lab sees it."""
    return Packrat(client, "lab", psk)


WAYS: dict[str, Way] = {
    "describe": lambda client: client.describe("/api/v2/"),
    "get": lambda client: client.get(MIRROR),
    "get_many": lambda client: client.get_many(FILES, ["1", "2", "3"]),
    "list_uris": lambda client: client.list_uris(FILES, "repo", {"repo": "x", "package_list": None}),
    "call": lambda client: client.call(f"{MIRROR}(heartbeat)", {}),
    "create": lambda client: client.create(FILES, {"name": "x"}),
    "login": lambda client: client.login("/api/v2/Auth/User(login)", "lab", "psk"),
    "download": lambda client: download(client, 0),
    "download, the rest": lambda client: download(client, 10),
    "open": lambda client: packrat(client).open(),
    "view": lambda client: packrat(client).view(),
    "view, anonymous": lambda client: packrat(client, None).view(),
    "wanted": lambda client: packrat(client).wanted(REPO, None, {}),
    "wanted of some": lambda client: packrat(client).wanted(REPO, ["hello"], {}),
    "changes": lambda client: packrat(client).changes(None, 1),
    "poll": lambda client: packrat(client).poll(REPO, 1),
    "heartbeat": lambda client: packrat(client).heartbeat(),
    "file": _download_of_a_mirror,
    "bundle": _bundle,
}


@dataclass(slots=True)
class Line:
    """A client and a server with a wire between them."""

    runner: asyncio.Runner

    def ask(self, way: Way, answer: Answerer) -> Any:
        async def go() -> Any:
            async with replaying(answer) as origin, CinpClient(origin, timeouts=TIMEOUTS) as client:
                return await way(client)

        return self.runner.run(go())

    def outcome(self, way: Way, answer: Answerer) -> Any:
        """What came of it, a PackratError too; any other exception is a fault."""
        try:
            return self.ask(way, answer)
        except PackratError as error:
            assert_told(error)
            return error


def always(answer: bytes) -> Answerer:
    """The same answer to everything."""
    return lambda request: answer


def assert_told(error: PackratError) -> None:
    """An error can be shown on any terminal and is not endless."""
    text = str(error)
    assert text
    assert text.isprintable()
    assert len(text) < 1500
