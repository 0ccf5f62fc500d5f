"""Answers that never end, are too large, too deep, or lead elsewhere: refused in bounded memory and time."""

import asyncio
import gzip
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.model.entries import Placement, Plan
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.sync.fetch.download import Retries, fetch, to_stage
from packrat_agent.sync.fetch.shared_downloads import SharedDownloads
from packrat_core.cinp.client import CinpClient, DownloadLimits
from packrat_core.cinp.session import Timeouts
from packrat_core.errors import ServerBroken, ServerUnavailable
from packrat_demo.build_deb import Deb
from packrat_server.client.find_file import FileFinder
from support.evil import FILE, MIRROR, REPO, Evil, Lie, Send, Victim, head, repo_record, serving

MIB = 1024 * 1024
GOOD = "apt-dev/pool/good/good_1_all.deb"


def endless(chunk: bytes, opening: bytes = b"", times: int | None = None) -> Lie:
    """Send a chunk again and again, in chunks, until the other side has had enough."""

    async def lie(send: Send) -> None:
        await send(head(Transfer_Encoding="chunked", Total="1"))
        block = chunk * (MIB // len(chunk) + 1)
        await send(b"%x\r\n%b\r\n" % (len(opening), opening) if opening else b"")
        for _ in itertools.count() if times is None else range(times):
            await send(b"%x\r\n%b\r\n" % (len(block), block))

    return lie


def whole(body: bytes, **headers: str) -> Lie:
    """Send a body as it is."""

    async def lie(send: Send) -> None:
        await send(head(Content_Length=str(len(body)), **headers))
        await send(body)

    return lie


def redirect(target: str, status: str = "302 Found") -> Lie:
    """Send the other side elsewhere."""

    async def lie(send: Send) -> None:
        await send(head(status, Location=target, Content_Length="0"))

    return lie


def many(chunk: bytes, mib: int) -> bytes:
    """A JSON list of the same value, so many MiB of it."""
    return b"[" + b",".join([chunk] * (mib * MIB // (len(chunk) + 1))) + b"]"


URI = f'"{FILE}:1234567:"'.encode()
LIES: dict[str, tuple[str, str, Lie]] = {
    "JSON without an end": ("LIST", FILE, endless(URI + b",", b"[")),
    "space without an end": ("LIST", FILE, endless(b" ")),
    "text without an end": ("LIST", FILE, endless(b"x", b'["')),
    "an object without an end": ("GET", REPO, endless(b'"a":{"b":[]},', b"{")),
    "a record without an end": ("GET", FILE, endless(b"x", b'{"a":"')),
    "an error without an end": ("GET", FILE, endless(b"x", b"HTTP")),
    "a million files": ("LIST", FILE, whole(many(URI, 38), Total="1000000")),
    "as many as there may be bytes": ("LIST", FILE, whole(many(b'"ab"', 23), Total="5")),
    "empty lists": ("LIST", FILE, whole(many(b"[]", 23), Total="5")),
    "empty objects": ("GET", REPO, whole(many(b"{}", 1))),
    "numbers": ("LIST", FILE, whole(many(b"1.5", 20), Total="5")),
    "wide text": ("LIST", FILE, whole(b'["' + b"x" * 20 * MIB + "\U0001f600".encode() + b'"]', Total="5")),
    "wide text, escaped": ("LIST", FILE, whole(b'["' + b"x" * 20 * MIB + b'\\ud83d\\ude00"]', Total="5")),
    "nesting": ("LIST", FILE, whole(b"[" * 19_000, Total="5")),
    "nested objects": ("GET", REPO, whole(b'{"a":' * 11_000)),
    "a gzip bomb": ("LIST", FILE, whole(gzip.compress(b"[" + b" " * 300 * MIB), Content_Encoding="gzip", Total="5")),
    "a count that is less": ("LIST", FILE, whole(b"[]", Total="-5")),
    "a count that never comes": ("LIST", FILE, whole(b"[]", Total="7")),
    "a count beyond counting": ("LIST", FILE, whole(b"[]", Total="9" * 30)),
    "headers without an end": ("LIST", FILE, whole(b"[]", Total="0", X="x" * 100_000)),
    "a file of the host": ("LIST", FILE, redirect("file:///etc/passwd")),
    "the metadata address": ("GET", REPO, redirect("http://169.254.169.254/latest/meta-data/", "307 Temporary")),
    "another origin": ("GET", MIRROR, redirect("http://example.com/", "308 Permanent")),
    "half a body": ("LIST", FILE, whole(b"[", Content_Length="1000", Total="5")),
    "no HTTP": ("LIST", FILE, lambda send: send(b"SSH-2.0-OpenSSH_9.2p1\r\n")),
    "too many repositories": (
        "GET",
        MIRROR,
        whole(b'{"repo_list": ' + many(f'"{REPO}:apt-dev:"'.encode(), 3) + b"}"),
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_an_answer_that_can_not_be_is_refused_and_what_is_published_stays(lured: Victim, name: str) -> None:
    verb, part, lie = LIES[name]
    lured.extra = "max_records: 100000\n"
    lured.evil.lies[verb, part] = lie
    ended = lured.sync()
    assert ended.code in (3, 5, 12), ended.said
    assert "Traceback" not in ended.said
    assert f"{verb} {part}" in ended.said, ended.said
    assert ended.memory_mib < 200
    assert lured.pool() == []


def test_a_file_without_an_end_is_given_up_and_takes_no_room(lured: Victim) -> None:
    lured.evil.add("2", Deb("evil", "1", "all"))
    lured.evil.lies["GET", "/files/evil"] = endless(b"x")
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert "max_file_size" in ended.said
    assert lured.pool() == [GOOD]
    assert not list((lured.www / ".packrat-agent/staging").iterdir())
    assert ended.memory_mib < 200


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://169.254.169.254/x", "//example.com/x", "/files/good"])
def test_a_download_is_not_led_elsewhere(lured: Victim, target: str) -> None:
    lured.evil.add("2", Deb("evil", "1", "all"))
    lured.evil.lies["GET", "/files/evil"] = redirect(target)
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert "redirects are not followed" in ended.said
    assert lured.pool() == [GOOD]


def test_a_file_that_is_to_wait_for_long_holds_up_no_other(lured: Victim) -> None:
    """As from a web server that limits the rate of one address alone."""
    lured.evil.add("2", Deb("evil", "1", "all"))
    lured.evil.lies["GET", "/files/evil"] = lambda send: send(
        head("503 Service Unavailable", Retry_After="3600", Content_Length="0")
    )
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert "asks to wait for 300 seconds" in ended.said
    assert lured.pool() == [GOOD]


def test_a_file_that_is_compressed_on_the_way_is_not_unpacked(lured: Victim) -> None:
    lured.evil.add("2", Deb("evil", "1", "all"))
    lured.evil.lies["GET", "/files/evil"] = whole(gzip.compress(b"\0" * 100 * MIB), Content_Encoding="gzip")
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert lured.pool() == [GOOD]
    assert ended.memory_mib < 200


def test_two_thousand_repositories_and_more_are_too_many(lured: Victim) -> None:
    lured.evil.repos = {f"r{number}": repo_record(f"r{number}", f"r{number}") for number in range(2500)}
    ended = lured.sync()
    assert ended.code == 5
    assert "2000 repositories" in ended.said


def trickle(first: bytes) -> Lie:
    """Send a byte now and then, for ever."""

    async def lie(send: Send) -> None:
        await send(first)
        while True:
            await send(b" ")
            await asyncio.sleep(0.05)

    return lie


HASTY = Timeouts(connect_s=1.0, stall_s=0.5, total_s=1.0)
PATIENT = Timeouts(connect_s=60.0, stall_s=60.0, total_s=60.0, download_s=60.0)


@asynccontextmanager
async def client_of(evil: Evil, timeouts: Timeouts) -> AsyncIterator[CinpClient]:
    async with CinpClient(evil.url, timeouts=timeouts, downloads=DownloadLimits(file_bytes=MIB)) as client:
        yield client


def ask(evil: Evil, work: Callable[[CinpClient], Coroutine[Any, Any, Any]], timeouts: Timeouts = HASTY) -> Any:
    """Do something with a client that has little patience; one that is to succeed needs more."""

    async def go() -> Any:
        async with client_of(evil, timeouts) as client:
            return await asyncio.wait_for(work(client), 60)

    with serving(evil):
        return asyncio.run(go())


def test_a_trickle_of_json_ends_with_the_time_for_an_answer() -> None:
    evil = Evil(lies={("LIST", FILE): trickle(head(Content_Length="1000000", Total="1"))})
    with pytest.raises(ServerUnavailable, match="no answer in time"):
        ask(evil, lambda client: client.list_uris(FILE, None, {}))


def test_files_of_another_name_than_asked_for_are_not_taken_for_those() -> None:
    """Commands change what is found, and delete it."""
    evil = Evil(lies={("DESCRIBE", FILE): whole(b'{"list-filters": {"file_name": {}}}')})
    evil.add("1", Deb("first", "1", "all"))
    evil.add("2", Deb("second", "1", "all"))
    first, second = (Deb(name, "1", "all").file_name for name in ("first", "second"))

    async def find(client: CinpClient) -> dict[str, list[str]]:
        found = await FileFinder(client).find_each([first, second, "third_1_all.deb", f"{FILE}:1:"])
        assert all([list(await FileFinder(client).find(name)) == list(found[name]) for name in (first, second)])
        return {name: list(records) for name, records in found.items()}

    assert ask(evil, find, PATIENT) == {first: [f"{FILE}:1:"], second: [f"{FILE}:2:"], f"{FILE}:1:": [f"{FILE}:1:"]}


def test_a_record_that_an_answer_leaves_out_counts_as_not_found_yet() -> None:
    names = [f"{FILE}:1:", f"{FILE}:2:"]
    evil = Evil(lies={("GET", FILE): whole(b"{}")})
    assert ask(evil, lambda client: FileFinder(client).find_each(names), PATIENT) == {}


def test_a_trickle_of_headers_ends_too() -> None:
    evil = Evil(lies={("LIST", FILE): trickle(b"HTTP/1.1 200 OK\r\nX: ")})
    with pytest.raises(ServerUnavailable):
        ask(evil, lambda client: client.list_uris(FILE, None, {}))


def test_a_trickle_of_a_file_is_given_up(tmp_path: Path) -> None:
    evil = Evil(lies={("GET", "/files/x.deb"): trickle(head(Content_Length="100000000"))})
    file = PackageFile(f"{FILE}:1:", "x", "bookworm", "1", "deb", "all", "/files/x.deb", "x.deb", "a" * 64)
    staging, root = tmp_path / "staging", tmp_path / "root"
    staging.mkdir()

    async def work(client: CinpClient) -> Any:
        repo = Repo("x", "X", "x", "apt", ())
        plan = Plan(repo, (), (Placement(file, "x/pool/x.deb"),), (), (), (), {}, {}, {})
        retries = Retries(tries=2, wait_s=(0.0, 0.0))
        with SharedDownloads(1).share(staging, urgent=True) as share:
            share.want(to_stage(plan))
            return await fetch(plan, share, root, client.open_file, lambda files, size: None, retries)

    # Each try has to come to the server.
    fetched = ask(evil, work, replace(HASTY, connect_s=60.0))
    assert isinstance(fetched.failed["a" * 64], ServerUnavailable)
    assert len([line for line in evil.asked if "x.deb" in line]) == 2


def endlessly(first: bytes, again: bytes) -> Lie:
    """Send the same bytes again and again, each time before the client gives up waiting for the next byte."""

    async def lie(send: Send) -> None:
        await send(first)
        while True:
            await send(again)
            await asyncio.sleep(0.05)

    return lie


CHUNKED = head(Transfer_Encoding="chunked", Total="1")
DRIPS = {
    "answers of 1xx": endlessly(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "a chunk's extension": endlessly(CHUNKED + b"1;", b"x=y;"),
    "a chunk's size": endlessly(CHUNKED, b"0"),
    "a trailer": endlessly(CHUNKED + b"0\r\nX: ", b"y"),
    "a status line": endlessly(b"HTTP/1.1 200 ", b"O"),
    "lines of the head": endlessly(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "a file": endlessly(head(Content_Length="100000000", Total="1"), b" "),
}


@pytest.mark.parametrize("drip", DRIPS)
def test_an_answer_of_drips_ends(drip: str) -> None:
    evil = Evil(lies={("LIST", FILE): DRIPS[drip], ("GET", "/files/x"): DRIPS[drip]})

    async def download(client: CinpClient) -> None:
        async with client.open_file("/files/x") as opened:
            [_ async for _ in opened.chunks()]

    began = time.monotonic()
    with pytest.raises((ServerUnavailable, ServerBroken)):
        ask(evil, lambda client: client.list_uris(FILE, None, {}))
    with pytest.raises(ServerUnavailable):
        ask(evil, download)
    # Two answers of a second each; without an end, each goes on for a minute.
    assert time.monotonic() - began < 50


MALFORMED = {
    "a chunk without a size": b"zz\r\n",
    "a chunk that is longer than it says": b"1\r\n22\r\n",
    "a size beyond all bounds": b"f" * 40 + b"\r\n",
    "a trailer that is none": b"0\r\n\x01\r\n\r\n",
}


@pytest.mark.parametrize("busy", [False, True], ids=["to one who waits", "to one who is busy"])
@pytest.mark.parametrize("malformed", MALFORMED)
def test_an_answer_that_becomes_malformed_ends_at_once_and_is_reported(malformed: str, *, busy: bool) -> None:
    """aiohttp leaves it open: who waits for more waits for ever, and who asks for more gets an internal error."""

    async def lie(send: Send) -> None:
        await send(head(Transfer_Encoding="chunked", Total="1", Content_Type="application/jsonl") + b"2\r\n1\n\r\n")
        await asyncio.sleep(0.05)
        await send(MALFORMED[malformed])

    async def go_on() -> None:
        if busy:
            # Until it has come, and the connection is closed.
            await asyncio.sleep(0.3)

    async def download(client: CinpClient) -> None:
        async with client.open_file("/files/x") as opened:
            async for _ in opened.chunks():
                await go_on()

    async def follow(client: CinpClient) -> None:
        lines = await client.open_lines(f"{MIRROR}(changes)", {}, begin_s=60, silent_s=60)
        try:
            await lines.read()
            await go_on()
            await lines.read()
        finally:
            await lines.close()

    evil = Evil(lies={("GET", "/files/x"): lie, ("CALL", f"{MIRROR}(changes)"): lie})
    for step in (download, follow):
        with pytest.raises(ServerUnavailable, match="the answer is not valid HTTP"):
            ask(evil, step, PATIENT)


def test_a_flood_before_an_answer_ends_by_its_size() -> None:
    sent = 0

    async def flood(send: Send) -> None:
        nonlocal sent
        await send(b"HTTP/1.1 102 Processing\r\n\r\n")
        portion = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 4000 + b"\r\n\r\n"
        while True:
            await send(portion * 16)
            sent += len(portion) * 16

    evil = Evil(lies={("GET", "/files/x"): flood, ("LIST", FILE): flood})

    async def download(client: CinpClient) -> None:
        async with client.open_file("/files/x") as opened:
            [_ async for _ in opened.chunks()]

    for step in (download, lambda client: client.list_uris(FILE, None, {})):
        sent = 0
        with pytest.raises(ServerBroken, match="MiB and no answer"):
            # By its size, not since a busy machine took longer than that client waits.
            ask(evil, step, PATIENT)
        # What stands in the buffers of the two ends is sent, too.
        assert sent < 16 * 1024 * 1024


def test_a_file_that_comes_slowly_but_steadily_ends_too() -> None:
    evil = Evil(lies={("GET", "/files/x"): endlessly(head(Content_Length="100000000"), b" " * 100)})

    async def work(_: CinpClient) -> None:
        timeouts = Timeouts(connect_s=1.0, stall_s=5.0, total_s=1.0, download_s=1.0)
        async with CinpClient(evil.url, timeouts=timeouts) as client, client.open_file("/files/x") as opened:
            [_ async for _ in opened.chunks()]

    with pytest.raises(ServerUnavailable, match="no answer in time"):
        ask(evil, work)


def test_a_poll_that_never_ends_is_ended() -> None:
    evil = Evil(lies={("CALL", "poll"): trickle(head(Content_Length="1000000"))})
    with pytest.raises(ServerUnavailable):
        ask(evil, lambda client: client.call(f"{REPO}:apt-dev:(poll)", {"timeout": 1}, 1.0))


@pytest.mark.parametrize("path", ["http://169.254.169.254/", "//example.com/", "file:///etc/passwd", "", "x"])
def test_no_path_leads_away(path: str) -> None:
    with pytest.raises(ServerBroken):
        ask(Evil(), lambda client: client.get(path))


def test_the_psk_is_sent_to_no_other_origin(lured: Victim) -> None:
    lured.secret = "psk: very-secret\n"
    with serving(Evil()) as other:
        lured.evil.lies["CALL", "login"] = redirect(f"{other.url}/api/v2/Auth/User:(login)", "307 Temporary Redirect")
        ended = lured.sync()
        assert other.asked == []
    assert ended.code == 5
    assert "very-secret" not in ended.said
