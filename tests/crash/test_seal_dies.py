"""The agent is killed while it seals: what a list has is believed after a lost state database, and nothing else."""

from pathlib import Path

import pytest

from crash.test_die_anywhere import die, downloaded_bytes
from support.keys import Key
from support.kinds import DOCKER, YUM, Kind
from support.type_stage import type_stage


@pytest.mark.parametrize("kind", [YUM, DOCKER], ids=lambda kind: kind.name)
def test_only_unsealed_files_are_downloaded_again(tmp_path: Path, key: Key, kind: Kind) -> None:
    with type_stage(tmp_path, key, kind) as made:
        packages = [("web", "0")]
        made.put("web", "0", inside=b"0")
        made.lab.agent("sync")
        for step, is_sealed in (("live-noted", False), ("seal-written", False), ("seal-renamed", True)):
            packages.append(("web", step.replace("-", ".")))
            made.put(*packages[-1], inside=step.encode())
            die(made.lab, step)
            made.lose_state()
            said = made.lab.agent("sync")
            assert (downloaded_bytes(said.stdout) == "0 B") is is_sealed, f"{step}\n{said.stderr}"
            assert said.stderr.count("not believed") == (0 if is_sealed else 1)
            assert made.offered() == made.expected(*packages)
        # The state database is there, and was written before the list: the list comes with the next sync.
        packages.append(("web", "9"))
        made.put("web", "9", inside=b"9")
        die(made.lab, "seal-written")
        made.lab.agent("sync")
        made.lose_state()
        assert downloaded_bytes(made.lab.agent("sync").stdout) == "0 B"
        assert made.offered() == made.expected(*packages)
        made.lab.agent("verify")
