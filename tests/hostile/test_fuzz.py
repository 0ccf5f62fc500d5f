"""20,000 answers made wrong at random: none crashes the agent, holds it up, or has it write outside root_dir."""

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from packrat_agent.config.load import load
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.mirror import ready
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.session import Timeouts
from packrat_core.errors import PackratError, Refused
from packrat_demo.build_deb import Deb, build_deb
from support.evil import DISTRO_VERSION, FILE, MIRROR, REPO, answer, file_record, repo_record
from support.replay import recorded
from support.wire import connect_to

ANSWERS = 20_000
IN_FULL_PASSES = 3_000
_PATIENCE_S = 20.0
_SEED = 20_261

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**30, float("nan"), "", "x", "..", ".", "/", "\0", "\n", "\ud800", "\x1b[2J"),
    *("../../../../tmp/x", "/etc/passwd", "a/b/c", "-x", ".x", "x" * 4000, "\u202e", "е", "a" * 64, "A" * 64),
    *([], {}, [[]], {"": None}, ["x"], {"message": "x"}, "/files/../x", "/files/%2e%2e%2fx", "/files/x.deb", "deb"),
    *(f"{FILE}:1:", f"{FILE}:2:", f"{REPO}:apt-dev:", f"{REPO}:..:", f"{MIRROR}:lab:", f"{DISTRO_VERSION}:bookworm:"),
    *("apt", "yum", "docker", "pypi", "json", "apt-dev", "apt-dev/pool", ".packrat-agent", "index.html", "kept"),
]
ODD_BYTES = [
    *(b"0", b"-1", b"9" * 20, b"null", b"[]", b"{}", b'"', b"[" * 3000, b"\xff", b"\r\n", b"\r\n\r\n", b": ", b"\0"),
    *(b"Total: 5\r\n", b"Location: file:///etc/passwd\r\n", b"Transfer-Encoding: chunked\r\n", b"302", b"401", b"404"),
    *(b"Content-Encoding: gzip\r\n", b"Cinp-Version: 9\r\n", b"Content-Range: bytes 10-\r\n", b"HTTP/1.0", b"ffffffff"),
]


def twist(dice: random.Random, value: Any) -> Any:
    """Change one thing somewhere in a JSON value."""
    if isinstance(value, dict) and value and dice.random() < 0.9:
        changed = dict(value)
        name = dice.choice(list(changed))
        match dice.randrange(5):
            case 0:
                del changed[name]
            case 1:
                changed[str(dice.choice(ODD))] = changed.pop(name)
            case _:
                changed[name] = twist(dice, changed[name])
        return changed
    if isinstance(value, list) and value and dice.random() < 0.8:
        items = list(value)
        at = dice.randrange(len(items))
        match dice.randrange(4):
            case 0:
                items *= dice.choice([0, 2, 50])
            case 1:
                items.insert(at, dice.choice(ODD))
            case _:
                items[at] = twist(dice, items[at])
        return items
    if isinstance(value, str) and value and dice.random() < 0.4:
        at = dice.randrange(len(value) + 1)
        return value[:at] + str(dice.choice(ODD)) + value[at + dice.randrange(3) :]
    return dice.choice(ODD)


def scramble(dice: random.Random, raw: bytes) -> bytes:
    """Change bytes of an answer, leave some out, put some in, end it early."""
    changed = bytearray(raw)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(changed) + 1)
        match dice.randrange(5):
            case 0:
                changed[at : at + 1] = dice.randbytes(1)
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + dice.randint(1, 60)]
            case 3:
                changed[at : at + dice.randint(0, 12)] = dice.choice(ODD_BYTES)
            case 4:
                changed[at:at] = changed[dice.randrange(len(changed) + 1) :][:200]
    return bytes(changed)


class World:
    """A small mirror, of which most answers are right and some are not."""

    def __init__(self, seed: int, wrong: float) -> None:
        self.wrong = wrong
        self.dice = random.Random(seed)
        self.said = 0
        self._recorded = [one.raw for one in recorded() if one.raw]
        self._contents = {name: build_deb(Deb(name, "1", "all")) for name in ("one", "two", "three")}

    def say(self, verb: str, target: str) -> bytes:
        """Answer."""
        self.said += 1
        dice = self.dice
        if dice.random() < self.wrong / 3:
            return scramble(dice, dice.choice(self._recorded))
        if target.startswith("/files/"):
            content = self._contents.get(target.removeprefix("/files/").partition("_")[0], b"?" * 100)
            raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)
        else:
            value, headers = self._value(verb, target)
            while dice.random() < self.wrong:
                value = twist(dice, value)
            raw = answer(value, **headers)
        return scramble(dice, raw) if dice.random() < self.wrong / 3 else raw

    def _value(self, verb: str, target: str) -> tuple[Any, dict[str, str]]:
        model, _, rest = target.partition(":")
        if verb == "LIST":
            return [f"{FILE}:{one}:" for one in (1, 2, 3)], {"Total": "3"}
        if verb == "DESCRIBE":
            return {"api-version": "2.0", "actions": [f"{MIRROR}(changes)"]}, {}
        if verb == "CALL" and "login" in target:
            return "token", {}
        if verb == "CALL":
            changes = {f"{REPO}:apt-dev:": ["one"], f"{MIRROR}:lab:": None}
            return {"position": "7", "changes": changes} if "changes" in target else ["one"], {}
        if model == MIRROR:
            names = ("apt-dev", "apt-more", "py")
            return {"name": "lab", "description": "d", "repo_list": [f"{REPO}:{name}:" for name in names]}, {}
        ids = rest.removesuffix(":").split(":")
        return {f"{model}:{one}:": self._record(model, one) for one in ids}, {}

    def _record(self, model: str, one: str) -> dict[str, Any]:
        if model == REPO:
            return {**repo_record(one, one), "manager_type": "pypi" if one == "py" else "apt"}
        if model == FILE:
            name = {"1": "one", "2": "two"}.get(one, "three")
            return file_record(f"{name}_1_all.deb", self._contents[name])
        return {"name": one, "distro": "debian", "version": "12", "file_type": "deb"}


def assert_stays_inside(repo: Repo, file: PackageFile) -> None:
    """Whatever the type, the place of a file is below root_dir and is its name there."""
    for form in FORMATS.values():
        with suppress(Refused):
            path = PurePosixPath(path_in_root(repo, form.place(repo, file)))
            assert not path.is_absolute()
            assert str(path).startswith(f"{repo.directory}/")
            assert not {"..", ".", ""} & set(str(path).split("/"))
            assert str(path).isprintable()


async def look_around(server: Packrat) -> None:
    """Ask all that the agent asks."""
    ways: list[Callable[[], Awaitable[Any]]] = [
        server.open,
        lambda: server.changes(None, 1),
        lambda: server.poll(Repo("apt-dev", "", "apt-dev", "apt", ()), 1),
        server.heartbeat,
    ]
    for way in ways:
        with suppress(PackratError):
            await asyncio.wait_for(way(), _PATIENCE_S)
    with suppress(PackratError):
        view = await asyncio.wait_for(server.view(), _PATIENCE_S)
        for repo in view.repos:
            wanted = await asyncio.wait_for(server.wanted(repo, None, {}), _PATIENCE_S)
            for file in wanted.files:
                assert_stays_inside(repo, file)
            repr(wanted).encode()


def test_wrong_answers_are_understood_or_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(_SEED, wrong=0.35)
    connect_to(world.say, monkeypatch)

    async def go() -> None:
        for number in itertools.count():
            if world.said >= ANSWERS - IN_FULL_PASSES:
                return
            async with CinpClient("http://packrat.test", timeouts=Timeouts(5, 5, 10)) as client:
                await look_around(Packrat(client, "lab", "psk" if number % 2 else None))

    asyncio.run(go())


def test_full_passes_over_wrong_answers_write_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(_SEED + 1, wrong=0.1)
    connect_to(world.say, monkeypatch)
    root, state = tmp_path / "box/www", tmp_path / "state"
    conf = tmp_path / "mirror.conf"
    conf.write_text(
        f"[packrat]\nhost: packrat.test\nname: lab\npsk: x\n[mirror]\nroot_dir: {root}\nstate_db: {state}/state.db\n"
        f"grace_period: 0\nkeep_generations: 1\nkeep_file: {root}/kept\nmax_file_size: 1M\n"
    )
    root.mkdir(parents=True)
    (root / "kept").write_text("mine")
    (tmp_path / "precious").write_text("mine")
    before = outside(tmp_path, root, state)
    config = load(conf)
    passes = 0

    async def go() -> None:
        nonlocal passes
        with ready(config) as mirror:
            while world.said < IN_FULL_PASSES:
                with suppress(PackratError):
                    async with connected(config) as server:
                        await asyncio.wait_for(
                            sync(mirror, server, NOTHING_CONFIRMED, lambda *_: None), 3 * _PATIENCE_S
                        )
                        passes += 1

    asyncio.run(go())
    assert passes > 30
    assert outside(tmp_path, root, state) == before
    assert (root / "kept").read_text() == "mine"
    for path in root.rglob("*"):
        assert not path.is_symlink()
        assert str(path.relative_to(root)).isprintable()
    assert json.dumps(sorted(path.name for path in root.iterdir()))
    capsys.readouterr()


def outside(top: Path, *but: Path) -> dict[str, int]:
    """Path → time of change of all files that are none of the agent's."""
    found = [path for path in top.rglob("*") if not any(path.is_relative_to(one) for one in but)]
    return {str(path): path.lstat().st_mtime_ns for path in found if not path.is_dir()}
