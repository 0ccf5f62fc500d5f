"""Each start says that a server is reached by plain http, and `check` says it as long as that is so."""

from pathlib import Path

import pytest

from support.mirror_conf import write_mirror_conf
from support.stage import Server, Stage, daemon

TOLD = "plain-http text="


def mirror_of(directory: Path, host: str) -> Stage:
    """A mirror without a key, whose server can't be reached."""
    (directory / "state").mkdir()
    write_mirror_conf(directory, host)
    return Stage(directory, Server(directory, "", host), "", None)


def test_every_start_warns_of_plain_http(tmp_path: Path) -> None:
    mirror = mirror_of(tmp_path, "http://packrat.invalid")
    with daemon(mirror) as running:
        log = running.until_logged("waiting")
        assert log.count(TOLD) == 1
        assert "anyone on the way decides what this mirror publishes and signs" in log
        assert running.stop() == 0
    assert TOLD in mirror.agent("sync", expect=3).stderr
    verdict = mirror.agent("check", "--allow-stopped", "--disk-free", "0", expect=1).stdout
    assert "reaches http://packrat.invalid unencrypted" in verdict


@pytest.mark.parametrize("host", ["https://packrat.invalid", "http://127.0.0.1:1"])
def test_no_start_warns_of_https_or_of_this_machine(tmp_path: Path, host: str) -> None:
    mirror = mirror_of(tmp_path, host)
    assert TOLD not in mirror.agent("sync", expect=3).stderr
