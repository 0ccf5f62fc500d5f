"""A network disk whose server is gone: what an operator asks is answered all the same, and names that disk."""

import os
import subprocess

import pytest

from packrat_core.fs.left_looks import find_left, look_name, mount_name
from packrat_core.fs.mounts import list_mounts
from support.hung_disk import hung_disk
from support.stage import Stage

ANSWERED_S = 90.0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("where", ["www", "state"])
def test_each_command_that_looks_names_the_disk_and_ends(lab: Stage, where: str) -> None:
    lab.agent("sync")
    place = lab.directory / where
    with hung_disk(place) as disk:
        disk.is_silent = disk.hangs = True
        asked = {
            command: subprocess.Popen(lab.command(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for command in ("check", "status", "config", "doctor")
        }
        # To the end of its output: no other process may keep that open.
        told = {command: process.communicate(timeout=ANSWERED_S)[0] for command, process in asked.items()}
        (mount,) = (mount for mount in list_mounts() if mount.point == str(place))
        names = (look_name(lab.config), mount_name(mount.number))
        # Monitoring calls it again every minute: nothing more is left behind by that.
        again = [lab.agent("check", expect=3).stdout]
        left = find_left()
        again += [lab.agent("check", expect=3).stdout for _ in range(2)]
        assert [[look.pid for look in find_left()[name]] for name in names] == [
            [look.pid for look in left[name]] for name in names
        ]
    assert all(f"{place} (fuse of test)" in text for text in again)
    assert {command: process.returncode for command, process in asked.items()} == {
        **{"check": 3, "status": 7, "config": 7, "doctor": 1}
    }
    for text in told.values():
        # Other tests that run at the same time may have such disks, too.
        assert "a disk does not answer: " in text
        assert f"{place} (fuse of test)" in text
        assert text.startswith(("PACKRAT UNKNOWN - ", "packrat-agent: ", "fault    disk: ")), text
