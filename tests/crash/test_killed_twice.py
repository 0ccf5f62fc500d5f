"""Killed twice and three times in a row: what was downloaded whole is never downloaded again."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crash.test_roll_forward import die
from packrat_core.failpoints import STEPS
from support.keys import Key
from support.kinds import APT, DOCKER, PYPI, YUM, Kind
from support.relay import Relay, relay_to
from support.type_stage import TypeStage, add_repo, type_stage

_PUBLISHING = STEPS[STEPS.index("download-renamed") : STEPS.index("live-noted") + 1]


@contextmanager
def counted(made: TypeStage) -> Iterator[Relay]:
    """Put a relay between agent and server that knows what was asked for."""
    server = made.lab.server
    with relay_to(server.url) as relay:
        there, server.url = server.url, relay.url
        made.lab.write_config()
        server.url = there
        yield relay


def downloads(relay: Relay) -> list[str]:
    """The files that were asked for, each as often as it was."""
    return [line for line in relay.asked if re.match(r"GET /files/", line)]


@pytest.mark.parametrize("kind", [APT, YUM, PYPI, DOCKER], ids=lambda kind: kind.name)
def test_each_file_is_downloaded_once(tmp_path: Path, key: Key, kind: Kind) -> None:
    """The first death at some steps of a publication, later ones at others, in `sync` and in `run`."""
    with type_stage(tmp_path, key, kind) as made, counted(made) as relay:
        # A second repository takes the same files.
        add_repo(made, f"{kind.name}-too", "dev")
        made.put_many([("web", "0.1")])
        made.lab.agent("sync")
        there = [("web", "0.1")]
        steps = _PUBLISHING[::3] if kind is APT else _PUBLISHING[1::5]
        for number, step in enumerate(steps, start=1):
            relay.reset()
            there.append(("web", f"{number}.1"))
            made.put_many(there[-1:])
            die(made.lab, step, "run" if number % 2 else "sync")
            for count in range(number % 3):
                die(made.lab, ("wanted-remembered", "live-noted")[count], "sync" if number % 2 else "run")
            made.lab.agent("sync")
            assert len(downloads(relay)) == 1, step
            assert made.offered() == made.offered(f"{kind.name}-too") == made.expected(*there), step


@pytest.mark.parametrize("kind", [YUM, DOCKER], ids=lambda kind: kind.name)
def test_a_lost_state_database_and_two_deaths_cost_no_download(tmp_path: Path, key: Key, kind: Kind) -> None:
    with type_stage(tmp_path, key, kind) as made, counted(made) as relay:
        there = [("web", "0.1"), ("web", "0.2")]
        made.put_many(there)
        made.lab.agent("sync")
        relay.reset()
        made.lose_state()
        # The first comes to its end with the site, so that the state database knows of some files.
        said = [die(made.lab, step, "run") for step in ("published-noted", "packages-made")]
        said.append(made.lab.agent("sync").stderr)
        assert downloads(relay) == [], "\n".join(said)
        assert made.offered() == made.expected(*there)
