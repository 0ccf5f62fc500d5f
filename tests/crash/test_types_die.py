"""The agent is killed at steps of each repository type: no client ever sees an index that names what is not there."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crash.test_die_anywhere import die, downloaded_bytes
from packrat_core.failpoints import STEPS
from support.keys import Key
from support.kinds import DOCKER, JSON, PYPI, YUM, Kind, Offered, from_web
from support.stage import DEADLINE_S
from support.type_clients import CLIENTS
from support.type_stage import TypeStage, type_stage
from support.web import web_server

DEATHS = (
    "packages-made",
    "package-placed:2",
    "content-written:2",
    "pointers-staged",
    "pointer-renamed:1",
    "pointer-renamed:2",
    "pointer-renamed:3",
    "published-noted",
)
_WITHOUT_CONTENT = (PYPI, JSON)
"""Their indexes are pointers, all of them."""

_PAUSE_S = 0.1


@contextmanager
def reading(kind: Kind, url: str) -> Iterator[list[Offered | Exception]]:
    """Walk the index from its top down to the last file, again and again, once more at the end; gives what it saw."""
    seen: list[Offered | Exception] = []
    over = threading.Event()

    def read() -> None:
        try:
            seen.append(kind.read(from_web(f"{url}/{kind.name}-dev")))
        except Exception as error:  # What a client stumbles over is what is looked for.
            seen.append(error)

    def read_on() -> None:
        # Server, web server and this client share one process: without a pause they hold each other up.
        while not over.wait(_PAUSE_S):
            read()

    client = threading.Thread(target=read_on)
    client.start()
    try:
        yield seen
    finally:
        over.set()
        client.join(DEADLINE_S)
        read()


def new_packages(made: TypeStage, number: int) -> list[tuple[str, str]]:
    """Upload two packages; an image gets two more tags."""
    names = ("web", "web") if made.kind is DOCKER else (f"one{number}", f"two{number}")
    packages = [(name, f"{number}.{part}") for part, name in enumerate(names, start=1)]
    made.put_many(packages)
    return packages


@pytest.mark.parametrize("kind", [YUM, PYPI, DOCKER, JSON], ids=lambda kind: kind.name)
def test_clients_see_whole_indexes_and_the_next_pass_finishes(tmp_path: Path, key: Key, kind: Kind) -> None:
    assert {step.partition(":")[0] for step in DEATHS} <= set(STEPS)
    (tmp_path / "www").mkdir()
    with web_server(tmp_path / "www") as url, type_stage(tmp_path, key, kind) as made:
        made.lab.extra = {"public_url": url}
        made.lab.write_config()
        there = [("web", "0.1"), ("web", "0.2")]
        made.put_many(there)
        made.lab.agent("sync")
        with reading(kind, url) as seen:
            for number, step in enumerate(DEATHS, start=1):
                if kind in _WITHOUT_CONTENT and step.startswith("content-"):
                    continue
                there += new_packages(made, number)
                die(made.lab, step)
                said = made.lab.agent("sync").stdout
                assert downloaded_bytes(said) == "0 B", step
                assert made.offered() == made.expected(*there), step
        stumbled = [packages for packages in seen if isinstance(packages, Exception)]
        assert not stumbled, stumbled
        assert len(seen) > len(DEATHS)
        # What was there stays: each death only added.
        whole = made.expected(*there)
        assert all(isinstance(packages, set) and made.expected(*there[:2]) <= packages <= whole for packages in seen)
        assert seen[-1] == whole
        before = made.lab.tree()
        made.lab.agent("sync")
        assert made.lab.tree() == before
        (tmp_path / "client").mkdir()
        name, version = there[-1]
        CLIENTS[kind.name](made.lab, url, tmp_path / "client", name, version)
