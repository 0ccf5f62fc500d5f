"""Where gpg-agent can't be started, gpg has no secret keys: that is told, and not that one is missing."""

import subprocess
from pathlib import Path

import pytest

from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.signatures import make_signature
from packrat_agent.model.tree import SignatureForm
from packrat_core.errors import DiskError, SigningError
from support.keyring import now
from support.keys import end_gpg_agent, make_key
from support.small_disk import small_disk


def test_a_gpg_agent_that_can_not_be_started_is_reported_with_its_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        home = disk / "gnupg"
        home.mkdir(mode=0o700)
        key = find_key(make_key(home, "someone").fingerprint, home, None, now())
        end_gpg_agent(home)
        # As where the package is not installed, or where there is no place for its sockets.
        (home / "gpg.conf").write_text("agent-program /nonexistent\n")
        told = f"gpg-agent, which holds the secret keys of {home}, can't be started: "
        with pytest.raises(SigningError, match=told) as missing:
            find_key(key.fingerprint, home, None, now())
        assert "apt-get install gpg-agent" in missing.value.hint
        with pytest.raises(SigningError, match=told):
            make_signature(key, b"data", SignatureForm.BINARY)
        with pytest.raises(OSError, match="No space left"):
            (disk / "filling").write_bytes(bytes(2 << 20))
        with pytest.raises(DiskError) as full:
            find_key(key.fingerprint, home, None, now())
        assert full.value.message == f"{told}the disk of {home} is full"
        (disk / "filling").unlink()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(DiskError) as read_only:
            find_key(key.fingerprint, home, None, now())
        assert read_only.value.message == f"{told}{home} is on a read-only file system"
