"""A filesystem that is mounted at root_dir while an agent with mounts of its own, as systemd gives it, works there."""

import os
import shutil
from pathlib import Path

import pytest

from packrat_agent.config.settings import AGENT_DIR
from packrat_demo.build_deb import Deb
from support.small_disk import small_disk
from support.stage import Stage, new_daemon


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_check_says_that_the_agent_publishes_into_what_was_mounted_before(lab: Stage, tmp_path: Path) -> None:
    lab.server.put_deb(Deb("tool", "1", "amd64"))
    lab.agent("sync")
    apart = ["unshare", "--mount", "--propagation", "private", *lab.command("run")]
    with new_daemon(apart) as agent:
        agent.until_logged("checked")
        assert "another filesystem" not in lab.agent("check", "--allow-plain-http", expect=None).stdout
        copy = shutil.copytree(lab.www, tmp_path / "copy", symlinks=True)
        with small_disk(lab.www, "4m"):
            # Without its mark, it is a disk that is not mounted.
            assert "mount its filesystem" in lab.agent("check", expect=2).stdout
            shutil.copytree(copy, lab.www, symlinks=True, dirs_exist_ok=True)
            assert (lab.www / AGENT_DIR / "mark").is_file()
            told = lab.agent("check", expect=2).stdout
            assert f"another filesystem is at root_dir {lab.www} than when the agent" in told
            assert "`systemctl restart packrat-agent`" in told
        assert "another filesystem" not in lab.agent("check", expect=None).stdout
        assert agent.stop() == 0
