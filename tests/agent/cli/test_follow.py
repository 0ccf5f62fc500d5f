"""`run` ends on SIGTERM, whatever happens to its configuration at that moment."""

import asyncio
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from packrat_agent.cli import follow as following
from packrat_agent.cli.follow import follow
from packrat_agent.watch.agent import Agent
from packrat_core.errors import ConfigError
from support.mirror_conf import write_mirror_conf


@pytest.fixture
def own_process() -> Iterator[None]:
    """Give back what an agent takes for the rest of its process: the signals that stop it, and garbage collection."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    thresholds = gc.get_threshold()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.usefixtures("own_process")
def test_a_stop_is_kept_where_the_configuration_that_was_just_read_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir()
    runs: list[Agent] = []

    async def fail_while_stopping(agent: Agent) -> bool:
        runs.append(agent)
        assert len(runs) < 3, "the configuration before it runs again"
        if len(runs) == 1:
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.wait_for(asyncio.Event().wait(), 60)
        os.kill(os.getpid(), signal.SIGTERM)
        raise ConfigError("it fails")

    monkeypatch.setattr(following, "_follow", fail_while_stopping)
    with capture_logs() as logged, pytest.raises(ConfigError, match="it fails"):
        follow(write_mirror_conf(tmp_path))
    assert [line["event"] for line in logged if line["log_level"] == "error"] == []
