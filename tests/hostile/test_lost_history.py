"""A server that never knows what changed since the agent's last question: its word is taken, and work goes on."""

import json

import pytest

from support.evil import FILE, MIRROR, Send, Victim, answer, head
from support.mirror_conf import write_mirror_conf
from support.stage import new_daemon
from support.warm_agent import AGENT

CHANGES = f"{MIRROR}:lab:(changes)"
LOST = {"/api/v2/Repo/Repo:apt-dev:": None}
LOGGED_LIMIT = 12
"""More than one line for each second, then two, then four, in the time that two full syncs take."""


@pytest.mark.parametrize("streams", [False, True], ids=["questions", "lines"])
def test_a_history_that_is_lost_time_and_again_floods_no_log_and_stops_no_work(lured: Victim, streams: bool) -> None:
    """As behind a proxy that asks two servers in turn, each with a history of its own."""
    position = 0

    def say() -> dict[str, object]:
        nonlocal position
        position += 1
        return {"position": f"p{position}", "changes": LOST}

    async def describe(send: Send) -> None:
        parameters = [{"name": name} for name in (["position", "timeout", "stream"] if streams else ["position"])]
        await send(answer({"actions": [f"{MIRROR}(changes)"], "paramaters": parameters}))

    async def lie(send: Send) -> None:
        if position == 0 or not streams:
            await send(answer(say()))
            return
        await send(head(**{"Content-Type": "application/jsonl"}))
        while True:
            await send(json.dumps(say()).encode() + b"\n")

    lured.evil.lies |= {("DESCRIBE", MIRROR): describe, ("CALL", CHANGES): lie}
    lured.evil.lies["DESCRIBE", FILE] = lambda send: send(answer({"actions": [], "list-filters": {}}))
    (lured.directory / "state").mkdir()
    config = write_mirror_conf(
        lured.directory, lured.evil.url, root_dir=lured.www, mirror="full_sync_interval: 10\nmax_file_size: 1M\n"
    )
    with new_daemon([*AGENT, "--config", str(config), "run"]) as agent:
        log = agent.until_logged("checked", 2)
        agent.stop()
    assert 0 < log.count("reread") <= LOGGED_LIMIT
    assert lured.pool() == ["apt-dev/pool/good/good_1_all.deb"]
