"""A first sync that fills the disk: what is signed is there with the key that signed it, or not at all."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from crash.test_roll_forward import die
from packrat_demo.build_deb import Deb
from packrat_demo.private_apt import PrivateApt
from packrat_server import admin
from packrat_server.store.database import open_database
from support.small_disk import resize, small_disk
from support.stage import Stage, daemon
from support.web import web_server

KEY_FILES = ["index.html", "repo-key", "repo-key.gpg"]


@pytest.fixture
def small(lab: Stage) -> Iterator[Stage]:
    """A mirror whose root_dir is a filesystem of 2 MiB."""
    with small_disk(lab.www, "2m"):
        yield lab


def test_the_key_is_there_before_the_disk_is_full(small: Stage, tmp_path: Path) -> None:
    lab = small
    engine = open_database(lab.server.data)
    admin.save_repo(engine, admin.NewRepo("apt-stage", "apt", "stage", ("bookworm",), show_only_latest=False))
    admin.save_mirror(engine, "lab", ["apt-stage", "apt-dev"], "Lab", lab.psk)
    engine.dispose()
    # One repository fits, the other one doesn't.
    lab.server.put_deb(Deb("small", "1", "amd64"), tags=("dev", "stage"))
    large = Deb("large", "1", "amd64", files=(("/usr/share/large", os.urandom(3 << 20)),))
    lab.server.put_deb(large)
    done = lab.agent("sync", expect=7)
    assert "No space left on device" in done.stderr
    assert [path.name for path in sorted(lab.www.iterdir()) if path.is_file()] == KEY_FILES
    # Once it fits, a client that begins with the key gets on.
    resize(lab.www, "64m")
    lab.agent("sync")
    with web_server(lab.www) as url:
        apt = PrivateApt(tmp_path / "apt", f"deb [signed-by={lab.www}/repo-key.gpg] {url}/apt-dev bookworm main\n")
        said = apt.run("update")
        assert (said.exit_code, "W:" in said.output) == (0, False), said.output


@pytest.fixture
def crowded(lab: Stage) -> Iterator[Stage]:
    """A mirror whose root_dir and state database share a filesystem of 8 MiB."""
    with small_disk(lab.directory / "disk", "8m") as disk, ExitStack() as mounted:
        for name in ("www", "state"):
            (lab.directory / name).mkdir(exist_ok=True)
            (disk / name).mkdir()
            subprocess.run(["mount", "--bind", disk / name, lab.directory / name], check=True)
            mounted.callback(partial(subprocess.run, ["umount", lab.directory / name], check=True))
        yield lab


def test_downloads_leave_the_state_database_room_so_that_the_agent_goes_on_by_itself(crowded: Stage) -> None:
    lab = crowded
    lab.server.put_deb(Deb("small", "1", "amd64"))
    (large,) = lab.server.put_deb(Deb("large", "1", "amd64", files=(("/usr/share/large", os.urandom(9 << 20)),)))
    with daemon(lab) as agent:
        agent.until_logged("No space left on device")
        room = os.statvfs(lab.www)
        assert room.f_bavail * room.f_frsize >= 512 << 10
        assert "write the state database" not in agent.log
        lab.server.act(large, "fail")
        agent.until_logged("recovered")
        agent.until_logged("checked")
        assert "Package: small\n" in lab.packages()
        assert "write the state database" not in agent.log


def test_the_key_is_live_before_anything_is_downloaded(lab: Stage) -> None:
    lab.server.put_deb(Deb("small", "1", "amd64"))
    die(lab, "wanted-remembered")
    assert sorted(path.name for path in lab.www.iterdir() if path.is_file()) == KEY_FILES
    assert not lab.repo.exists()
