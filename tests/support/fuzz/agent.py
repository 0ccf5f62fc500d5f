"""Fuzz targets: the answers of a server, as the agent reads them.

An input that begins with HTTP/ is the whole answer; any other one is its body, behind a head that fits it. All other
questions are answered rightly, so that what follows from a wrong answer is seen, too.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import strategies as st

from packrat_agent.upstream.bundle_reader import BundleReader
from packrat_agent.upstream.client import Packrat
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.limits import TooMuch
from packrat_core.cinp.retry_after import read_retry_after
from packrat_core.cinp.session import Timeouts
from packrat_core.cinp.text_list import NotAList, TextList
from packrat_core.errors import ServerBroken, ServerUnavailable
from support.evil import DISTRO_VERSION, FILE, MIRROR, REPO, answer, head
from support.fuzz.engine import Target
from support.fuzz.questions import ask_everything
from support.fuzz.small_mirror import SmallMirror
from support.replay import recorded
from support.wire import connect_to

QUESTIONS = {
    "describe": ("DESCRIBE", "/api/v2/"),
    "login": ("CALL", "(login)"),
    "changes": ("CALL", "(changes)"),
    "poll": ("CALL", "(poll)"),
    "heartbeat": ("CALL", "(heartbeat)"),
    "mirror": ("GET", f"{MIRROR}:"),
    "repos": ("GET", f"{REPO}:"),
    "distro_versions": ("GET", f"{DISTRO_VERSION}:"),
    "list": ("LIST", FILE),
    "records": ("GET", f"{FILE}:"),
    "file": ("GET", "/files/"),
}
"""What is asked → its verb, and a part of its target."""

_IDS = {"mirror": "lab:", "repos": "apt-dev:apt-more:py:", "distro_versions": "bookworm:", "records": "1:2:3:"}
_IDS["file"] = "one_1_all.deb"
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from((FILE, REPO, MIRROR)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())
_URIS = [f"{FILE}:{number}:" for number in range(4)]
_BUNDLES = [
    b'{"looked_at": 4, "files": [["%b", 5], ["%b", 0]]}\nhello' % (_URIS[0].encode(), _URIS[2].encode()),
    b'{"looked_at": 1, "files": []}\n',
]
_DATES = [b"120", b"Sun, 22 Nov 2026 11:07:00 GMT", b"Sunday, 22-Nov-26 11:07:00 GMT"]


@contextmanager
def agent_targets(_directory: Path) -> Iterator[list[Target]]:
    """A target for each question, and the readers of parts of answers."""
    mirror = SmallMirror()
    heads = [exchange.raw for exchange in recorded() if exchange.raw and len(exchange.raw) < 5000]
    targets = [
        Target("agent.text_list", [b'["a","b\\u00e9", "c"]', b"[]"], _read_texts, _JSON, (NotAList, TooMuch)),
        Target("agent.bundle", _BUNDLES, _read_bundle, st.binary(max_size=60), (ServerBroken, ServerUnavailable)),
        Target("agent.retry_after", _DATES, _read_retry_after),
    ]
    with pytest.MonkeyPatch.context() as patch:
        wire = _Wire(mirror)
        connect_to(wire.say, patch)
        for name, (verb, target) in QUESTIONS.items():
            raw = mirror.say(verb, target + _IDS.get(name, ""))
            body = raw.partition(b"\r\n\r\n")[2]
            samples = [raw, body, body, _chunked(body), *heads[:: len(heads) // 12]]
            targets.append(Target(f"agent.{name}", samples, _Asking(wire, name), None if name == "file" else _JSON))
        yield targets


class _Wire:
    """Answers one question as told."""

    def __init__(self, mirror: SmallMirror) -> None:
        self._mirror = mirror
        self.told: tuple[str, bytes] = ("", b"")
        self.said = 0

    def say(self, verb: str, target: str) -> bytes:
        """Answer."""
        self.said += 1
        question, data = self.told
        if question:
            of_verb, part = QUESTIONS[question]
            if verb == of_verb and part in target:
                return data if data.startswith(b"HTTP/") else head(Content_Length=str(len(data)), Total="3") + data
        return self._mirror.say(verb, target)


class _Asking:
    """Asks everything."""

    def __init__(self, wire: _Wire, question: str) -> None:
        self._wire = wire
        self._question = question

    def __call__(self, data: bytes) -> None:
        self._wire.told = (self._question, data)
        self._wire.said = 0
        asyncio.run(self._ask(), debug=False)
        assert self._wire.said, "the client asked somebody else"

    async def _ask(self) -> None:
        async with CinpClient("http://packrat.test", timeouts=Timeouts(5, 5, 10)) as client:
            if self._question != "file":
                await ask_everything(Packrat(client, "lab", "psk" if self._question == "login" else None))
                return
            for offset in (0, 10):
                async with client.open_file("/files/one_1_all.deb", offset, None) as download:
                    async for _ in download.chunks():
                        pass


def _chunked(body: bytes) -> bytes:
    raw = (
        answer(None).partition(b"\r\n\r\n")[0].replace(b"Content-Length: 4", b"Total: 3\r\nTransfer-Encoding: chunked")
    )
    return raw + b"\r\n\r\n" + b"%x;a=b\r\n%b\r\n0\r\nA: b\r\n\r\n" % (len(body), body)


def _read_texts(data: bytes) -> None:
    for size in (1, 7, 10_000):
        texts = TextList(100_000)
        for at in range(0, min(len(data), 10_000), size):
            texts.feed(data[at : at + size])
        texts.end()


def _read_bundle(data: bytes) -> None:
    for size in (7, 1, 10_000):
        reader = BundleReader("x", _URIS)
        found = [file for at in range(0, len(data), size) for file in reader.feed(data[at : at + size])]
        reader.end()
        assert b"".join(content for _, content in found) == data.partition(b"\n")[2]
        assert [uri for uri in _URIS if uri in dict(found)] == [uri for uri, _ in found]


def _read_retry_after(data: bytes) -> None:
    text = data.decode("latin-1")
    for date in (None, text, "Sun, 22 Nov 2026 11:07:00 GMT"):
        wait_s = read_retry_after(text, date, 0.0)
        assert wait_s is None or 1 <= wait_s <= 300
