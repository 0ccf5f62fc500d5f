"""20,000 answers made wrong at random: none crashes the agent, holds it up, or has it write outside root_dir."""

import asyncio
import itertools
import json
import random
from contextlib import suppress
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.upstream.client import Packrat
from packrat_agent.upstream.connection import connected
from packrat_core.cinp.client import CinpClient
from packrat_core.cinp.session import Timeouts
from packrat_core.errors import PackratError
from support.evil import answer
from support.fuzz.mutate import scramble, twist
from support.fuzz.questions import PATIENCE_S, ask_everything
from support.fuzz.small_mirror import SmallMirror
from support.replay import recorded
from support.wire import connect_to

ANSWERS = 20_000
IN_FULL_PASSES = 3_000
_SEED = 20_261


class World:
    """A small mirror, of which most answers are right and some are not."""

    def __init__(self, seed: int, wrong: float) -> None:
        self.wrong = wrong
        self.dice = random.Random(seed)
        self.said = 0
        self._recorded = [exchange.raw for exchange in recorded() if exchange.raw]
        self._mirror = SmallMirror()

    def say(self, verb: str, target: str) -> bytes:
        """Answer."""
        self.said += 1
        dice = self.dice
        if dice.random() < self.wrong / 3:
            return scramble(dice, dice.choice(self._recorded))
        if target.startswith("/files/"):
            raw = self._mirror.file(target)
        else:
            value, headers = self._mirror.value(verb, target)
            while dice.random() < self.wrong:
                value = twist(dice, value)
            raw = answer(value, **headers)
        return scramble(dice, raw) if dice.random() < self.wrong / 3 else raw


def test_wrong_answers_are_understood_or_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(_SEED, wrong=0.35)
    connect_to(world.say, monkeypatch)

    async def go() -> None:
        for number in itertools.count():
            if world.said >= ANSWERS - IN_FULL_PASSES:
                return
            async with CinpClient("http://packrat.test", timeouts=Timeouts(5, 5, 10)) as client:
                await ask_everything(Packrat(client, "lab", "psk" if number % 2 else None))

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
        with open_mirror(config) as mirror:
            while world.said < IN_FULL_PASSES:
                with suppress(PackratError):
                    async with connected(config) as server:
                        await asyncio.wait_for(sync(mirror, server, NOTHING_CONFIRMED, lambda *_: None), 3 * PATIENCE_S)
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
    found = [path for path in top.rglob("*") if not any(path.is_relative_to(place) for place in but)]
    return {str(path): path.lstat().st_mtime_ns for path in found if not path.is_dir()}
