"""Proxies and servers that close idle connections unannounced: questions are repeated, changes are looked for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.model.records import Repo
from packrat_agent.upstream.client import Packrat
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.session import Timeouts
from packrat_core.cinp.transport import NoAnswer
from packrat_core.errors import ServerUnavailable
from packrat_demo.build_deb import Deb, build_deb, write_deb
from packrat_server.client.uploader import Uploader, signed_in
from support.original_server import OriginalServer, original_server
from support.proxy import ForgetfulProxy, forgetful_proxy
from support.stage import Server, Stage, packrat_server

REPO = Repo("apt-dev", "", "apt-dev", "apt", ())
TIMEOUTS = Timeouts(60, 60, 60)
DEB = Deb("first", "1", "all")


@pytest.fixture
def original() -> Iterator[OriginalServer]:
    with original_server() as server:
        server.manners.minimum_s = 0.1
        server.users["lab"] = "lab_psk"
        server.put("first", "1", DEB.file_name, build_deb(DEB))
        yield server


async def _download(server: Packrat) -> bytes:
    async with server.open_file(f"/files/{DEB.file_name}", 0) as opened:
        return b"".join([chunk async for chunk in opened.chunks()])


ASKED: dict[str, tuple[str, Callable[[Packrat], Awaitable[Any]]]] = {
    "open": ("DESCRIBE", lambda server: server.open()),
    "login": ("CALL", lambda server: server._client.login("/api/v2/Auth/User(login)", "lab", "lab_psk")),
    "mirror": ("GET", lambda server: server.view()),
    "list": ("LIST", lambda server: server.list_wanted(REPO)),
    "records": ("LIST", lambda server: server.wanted(REPO, None, {})),
    "poll": ("CALL", lambda server: server.poll(REPO, 0)),
    "heartbeat": ("CALL", lambda server: server.heartbeat()),
    "download": ("GET", _download),
}


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("what", ASKED)
def test_whatever_the_agent_asks_is_asked_again_on_a_new_connection(
    original: OriginalServer, what: str, reset: bool
) -> None:
    verb, ask = ASKED[what]

    async def work(proxy: ForgetfulProxy) -> None:
        async with CinpClient(original.url, proxy=proxy.url, timeouts=TIMEOUTS) as client:
            server = Packrat(client, "lab", "lab_psk")
            await server.open()
            # Several connections are idle, and each of them is dead without a sign of it.
            await asyncio.gather(*(client.describe("/api/v2/") for _ in range(5)))
            proxy.dropped.clear()
            await ask(server)
            assert proxy.dropped[0] == verb

    with forgetful_proxy(original.url) as proxy:
        proxy.reset = reset
        asyncio.run(work(proxy))


def test_changes_are_asked_again_on_a_new_connection(lab: Stage) -> None:
    async def work(proxy: ForgetfulProxy) -> None:
        async with CinpClient(lab.server.url, proxy=proxy.url, timeouts=TIMEOUTS) as client:
            server = Packrat(client, "lab", lab.psk)
            await server.open()
            assert server.has_changes
            proxy.dropped.clear()
            position = (await server.changes(None, 0)).position
            await server.changes(position, 0)
            assert proxy.dropped == ["CALL"]

    with forgetful_proxy(lab.server.url) as proxy:
        asyncio.run(work(proxy))


@pytest.mark.parametrize("what", ["list", "mirror"])
def test_a_new_connection_that_dies_is_reported_and_not_tried_for_ever(original: OriginalServer, what: str) -> None:
    verb, ask = ASKED[what]

    async def work(proxy: ForgetfulProxy) -> None:
        async with CinpClient(original.url, proxy=proxy.url, timeouts=TIMEOUTS) as client:
            server = Packrat(client, "lab", None)
            await server.open()
            forwarded = len(proxy.heads)
            proxy.lose_request = verb
            with pytest.raises(ServerUnavailable, match="closed before the answer was complete"):
                await ask(server)
            assert len(proxy.heads) == forwarded

    with forgetful_proxy(original.url) as proxy:
        asyncio.run(work(proxy))


def test_an_answer_that_breaks_off_is_not_asked_for_again(original: OriginalServer) -> None:
    async def work(proxy: ForgetfulProxy) -> None:
        async with CinpClient(original.url, proxy=proxy.url, timeouts=TIMEOUTS) as client:
            server = Packrat(client, "lab", None)
            await server.open()
            original.manners.cut = True
            asked = original.count("LIST")
            with pytest.raises(ServerUnavailable, match="closed before the answer was complete"):
                await server.list_wanted(REPO)
            assert original.count("LIST") == asked + 1

    with forgetful_proxy(original.url) as proxy:
        asyncio.run(work(proxy))


# The user's commands


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with packrat_server(tmp_path_factory.mktemp("server")) as made:
        yield made


def through(server: Server, work: Callable[[Uploader, ForgetfulProxy], Awaitable[None]]) -> None:
    """Work in a session of the administrator whose server stands behind a forgetful proxy."""

    async def do(proxy: ForgetfulProxy) -> None:
        async with signed_in(proxy.url, "admin", server.password) as uploader:
            await work(uploader, proxy)

    with forgetful_proxy(server.url) as proxy:
        asyncio.run(do(proxy))


def asked(proxy: ForgetfulProxy, part: str) -> int:
    return sum(part in head.split("\r\n")[0] for head in proxy.heads)


LOST = ["request", "answer"]


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("part", ["/api/upload", "(create)", "CREATE"])
def test_an_upload_whose_answer_is_lost_is_there_once(server: Server, tmp_path: Path, part: str, lost: str) -> None:
    name = f"lost-{LOST.index(lost)}-{len(part)}"
    path = write_deb(Deb(name, "1", "all"), tmp_path)

    async def work(uploader: Uploader, proxy: ForgetfulProxy) -> None:
        if part == "(create)":
            # Its package is there, so that the first create makes the file.
            await uploader.files.create_package(name)
        setattr(proxy, f"lose_{lost}", part)
        [uri] = await uploader.upload(path, ["bookworm"])
        assert (proxy.lose_request, proxy.lose_answer) == (None, None)
        assert await uploader.find(path.name) == [uri]
        if part == "(create)":
            assert asked(proxy, "(create)") == 1

    through(server, work)


@pytest.mark.parametrize("lost", LOST)
def test_a_tag_whose_answer_is_lost_is_looked_at_before_it_is_asked_for_again(
    server: Server, tmp_path: Path, lost: str
) -> None:
    path = write_deb(Deb(f"tagged-{lost}", "1", "all"), tmp_path)

    async def work(uploader: Uploader, proxy: ForgetfulProxy) -> None:
        [uri] = await uploader.upload(path, ["bookworm"])
        steps: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("(tag)", lambda: uploader.tag(uri, "dev")),
            ("(untag)", lambda: uploader.untag(uri, "dev")),
            *((f"({action})", lambda action=action: uploader.act(uri, action)) for action in MARKS),
        ]
        for part, step in steps:
            setattr(proxy, f"lose_{lost}", part)
            await step()
            assert asked(proxy, part) == 1
        record = await uploader._client.get(uri)
        assert record["tags"] == []
        assert record["failed_at"] is record["deprocated_at"] is None

    through(server, work)


MARKS = ("fail", "unfail", "deprocate", "undeprocate")


@pytest.mark.parametrize("lost", LOST)
def test_a_file_whose_deletion_is_not_answered_is_deleted_once(server: Server, tmp_path: Path, lost: str) -> None:
    """HTTP calls DELETE idempotent, and aiohttp would repeat it: the second one is refused, since nothing is there."""
    path = write_deb(Deb(f"deleted-{lost}", "1", "all"), tmp_path)

    async def work(uploader: Uploader, proxy: ForgetfulProxy) -> None:
        [uri] = await uploader.upload(path, ["bookworm"])
        setattr(proxy, f"lose_{lost}", "DELETE")
        await uploader.delete(uri)
        assert (proxy.lose_request, proxy.lose_answer) == (None, None)
        assert asked(proxy, "DELETE") == 1
        assert await uploader.find(path.name) == []

    through(server, work)


def test_changes_take_the_open_connection(server: Server) -> None:
    async def work() -> None:
        async with signed_in(server.url, "admin", server.password) as uploader:
            await uploader.files.create_package("open")
            connections = uploader._client._transport._pooled.connector._conns  # type: ignore[union-attr]
            [opened] = [handler for idle in connections.values() for handler, _ in idle]
            await uploader.files.create_package("open2")
            assert [handler for idle in connections.values() for handler, _ in idle] == [opened]

    asyncio.run(work())


def test_once_a_used_connection_died_under_a_change_the_next_ones_take_new_ones(server: Server) -> None:
    async def work(uploader: Uploader, proxy: ForgetfulProxy) -> None:
        # Several connections are idle, and each of them is dead without a sign of it.
        await asyncio.gather(*(uploader._client.describe("/api/v2/") for _ in range(5)))
        proxy.dropped.clear()
        await uploader.files.create_package("unused")
        await uploader.files.create_package("unused2")
        assert proxy.dropped.count("CREATE") == 1
        proxy.lose_answer = "CREATE"
        with pytest.raises(NoAnswer, match="the server may have carried it out"):
            await uploader._client.create("/api/v2/Package/Package", {"name": "unused3"})
        assert proxy.dropped.count("CREATE") == 1

    through(server, work)
