"""The agent ends, to be started again, where one of its own tasks can't go on."""

import asyncio
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.watch import agent as running
from packrat_agent.watch.agent import Agent
from support.mirror_conf import write_mirror_conf


def test_signs_of_life_that_fail_end_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the system gives no more threads: it would go on without a word until systemd's watchdog kills it."""
    (tmp_path / "state").mkdir()

    def refuse(_config: Config) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(running, "collect", refuse)

    async def run() -> None:
        async with asyncio.timeout(60):
            await Agent(context, lambda _what, _files, _bytes: None, asyncio.Event()).run()

    with open_mirror(load(write_mirror_conf(tmp_path, "http://127.0.0.1:9"))) as context, pytest.raises(RuntimeError):
        asyncio.run(run())
