"""The agent is killed at each step: what is published stays whole for clients, and the next pass finishes the work."""

import os
import re
import signal
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packrat_core.failpoints import STEPS
from packrat_demo.build_deb import Deb
from packrat_demo.client_run import ClientRun
from packrat_demo.private_apt import PrivateApt
from support.stage import DEADLINE_S, Stage
from support.web import web_server

_AFTER_DOWNLOAD = STEPS[STEPS.index("download-renamed") :]


@contextmanager
def updating(source: str, directory: Path) -> Iterator[list[ClientRun]]:
    """Run `apt-get update` again and again while the context lasts, once more at its end; gives what it said."""
    apt = PrivateApt(directory, source)
    said = [apt.run("update")]
    over = threading.Event()

    def update() -> None:
        while not over.is_set():
            said.append(apt.run("update"))

    client = threading.Thread(target=update)
    client.start()
    try:
        yield said
    finally:
        over.set()
        client.join(DEADLINE_S)
        said.append(apt.run("update"))


def die(lab: Stage, step: str) -> None:
    """Run a sync that is killed at a step."""
    environment = {**os.environ, "PACKRAT_AGENT_DIE_AT": step}
    done = lab.sync(environment)
    assert done.returncode == -signal.SIGKILL, f"it never came to {step}:\n{done.stderr}"


def read_content(lab: Stage) -> list[tuple[str, bytes]]:
    """Path and bytes of every file that is published, without signatures and the dates of publications."""
    content = []
    for path in lab.tree():
        data = (lab.www / path).read_bytes()
        dates = rb"(?m)^(?:Date|Valid-Until): .*$|<time [^/]*</time>|^-----BEGIN PGP SIGNATURE-----(?s:.*)"
        undated = re.sub(dates, b"", data)
        # A dated file under its hash has the date in its name, and the sync that died may leave one of its own.
        if "/by-hash/" not in path or undated == data:
            content.append((path, undated))
    return sorted(content)


def downloaded_bytes(said: str) -> str:
    """What the closing line of a sync says was downloaded."""
    found = re.search(r"([\d.]+ \w+) downloaded", said)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("step", [*STEPS, "package-placed:2", "content-written:3", "pointer-renamed:3"])
def test_apt_stays_whole_and_the_next_pass_finishes(lab: Stage, tmp_path: Path, step: str) -> None:
    lab.extra = {"grace_period": "0", "keep_generations": "1"}
    lab.write_config()
    lab.server.put_deb(Deb("staying", "1", "amd64"))
    [leaving] = lab.server.put_deb(Deb("leaving", "1", "all"))
    # A mirror of the same server whose agent is never killed: what the tree must be in the end.
    undisturbed = Stage(tmp_path / "undisturbed", lab.server, lab.psk, lab.key, lab.extra)
    undisturbed.directory.mkdir()
    undisturbed.write_config()
    lab.agent("sync")
    undisturbed.agent("sync")
    # Something to collect_garbage, too.
    lab.server.act(leaving, "fail")
    lab.agent("sync")
    undisturbed.agent("sync")
    for name in ("new-1", "new-2"):
        lab.server.put_deb(Deb(name, "1", "amd64", files=((f"/usr/share/{name}", os.urandom(400_000)),)))
    with web_server(lab.www) as url:
        keyring = tmp_path / "mirror.gpg"
        keyring.write_bytes(urllib.request.urlopen(f"{url}/repo-key.gpg", timeout=DEADLINE_S).read())
        source = f"deb [signed-by={keyring}] {url}/apt-dev bookworm main\n"
        with updating(source, tmp_path / "apt") as said:
            die(lab, step)
        result = lab.agent("sync")
        with updating(source, tmp_path / "apt-after") as said_after:
            pass
    for run in (*said, *said_after):
        assert (run.exit_code, "W:" in run.output) == (0, False), run.output
    assert {f"Package: {name}" in lab.packages() for name in ("staying", "new-1", "new-2")} == {True}
    assert "Package: leaving" not in lab.packages()
    if step.partition(":")[0] in _AFTER_DOWNLOAD[1:]:
        assert downloaded_bytes(result.stdout) == "0 B"
    undisturbed.agent("sync")
    assert read_content(lab) == read_content(undisturbed)
    before = lab.tree()
    lab.agent("sync")
    assert lab.tree() == before, "a sync with nothing to do wrote something"
