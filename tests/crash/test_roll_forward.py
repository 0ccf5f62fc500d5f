"""Killed among the renames of the pointers: the next start completes the publication before it asks anybody."""

import os
import signal
from pathlib import Path

import pytest

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.verify.interrupted import INTERRUPTED
from packrat_agent.verify.tree import verify_tree
from support.keys import Key, make_key, new_key
from support.kinds import APT, KINDS, YUM, Kind
from support.mirror_conf import write_mirror_conf
from support.stage import Stage
from support.type_stage import TypeStage, type_stage

NOBODY = "http://127.0.0.1:9"

STEPS = ("pointers-ready", "pointer-renamed", "pointer-renamed:2", "pointers-flushed")


def die(lab: Stage, step: str, command: str = "sync") -> str:
    """Run the agent until it is killed at a step; gives its log."""
    environment = {**os.environ, "PACKRAT_AGENT_DIE_AT": step}
    done = lab.agent(command, expect=None, environment=environment)
    assert done.returncode == -signal.SIGKILL, f"it never came to {step}:\n{done.stderr}"
    return done.stderr


def faults(lab: Stage) -> tuple[str, ...]:
    """What verify finds wrong."""
    return tuple(f"{fault.path}: {fault.what}" for fault in verify_tree(lab.www, None, lambda files, size: None).faults)


def pointers_left(lab: Stage) -> int:
    """How many new pointers stand beside the tree."""
    return sum(1 for path in (lab.www / AGENT_DIR / "publishing").rglob("*") if not path.is_dir())


def write_config(lab: Stage, server: str, fingerprint: str) -> None:
    """Write mirror.conf with another server, or another key."""
    assert lab.key is not None
    signing = f"gpg_sign_key: {fingerprint}\ngnupg_home: {lab.key.home}\n"
    extra = "".join(f"{name}: {value}\n" for name, value in lab.extra.items())
    write_mirror_conf(
        lab.directory,
        server,
        packrat=f"psk: {lab.psk}\n",
        mirror=f"description: the lab's mirror\n{signing}{extra}",
    )


def interrupt(made: TypeStage, number: int, step: str) -> None:
    """Upload a package, and kill the sync that publishes it."""
    made.put("web", f"1.{number}", inside=str(number).encode())
    die(made.lab, step)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_next_start_completes_it_without_the_server(tmp_path: Path, key: Key, kind: Kind) -> None:
    with type_stage(tmp_path, key, kind) as made:
        lab = made.lab
        made.put_many([("web", "1.0")])
        lab.agent("sync")
        there = [("web", "1.0")]
        for number, step in enumerate(STEPS if kind is APT else STEPS[:2], start=1):
            before = made.offered()
            interrupt(made, number, step)
            there.append(("web", f"1.{number}"))
            left = pointers_left(lab)
            assert bool(left) == (step != "pointers-flushed"), step
            if step == "pointers-ready":
                # Nothing was replaced yet: the tree is whole, and verify says so.
                said = lab.agent("verify")
                assert INTERRUPTED in said.stdout
                assert made.offered() == before
            elif kind is APT and left:
                # Its plain Packages and Release are of two publications.
                assert INTERRUPTED in lab.agent("verify", expect=13).stdout
            write_config(lab, NOBODY, key.fingerprint)
            assert "completed" in lab.agent("sync", expect=3).stderr
            lab.write_config()
            audit = verify_tree(lab.www, None, lambda files, size: None)
            assert (audit.faults, audit.warnings) == ((), ()), step
            assert made.offered() == made.expected(*there), step
            assert pointers_left(lab) == 0
            # It publishes the landing page, too, so that the next kill meets the package's publication.
            assert " 0 B downloaded" in lab.agent("sync").stdout
            assert made.offered() == made.expected(*there)


def test_a_publication_is_completed_without_the_key_by_sync_and_by_run(tmp_path: Path) -> None:
    with new_key("Gone <gone@example.com>") as key, type_stage(tmp_path, key, APT) as made:
        lab = made.lab
        made.put_many([("web", "1.0")])
        lab.agent("sync")
        interrupt(made, 1, "pointer-renamed:2")
        assert faults(lab)
        write_config(lab, lab.server.url, "0" * 40)
        lab.agent("sync", expect=6)
        assert faults(lab) == ()
        lab.write_config()
        interrupt(made, 2, "pointer-renamed:2")
        assert faults(lab)
        # Killed again and again while it completes: the next start goes on.
        for step in ("pointer-renamed", "pointers-flushed"):
            die(lab, step, "run")
        die(lab, "wanted-remembered", "run")
        assert faults(lab) == ()


def test_a_publish_that_cannot_be_completed_is_left_to_the_full_sync(tmp_path: Path, key: Key) -> None:
    with type_stage(tmp_path, key, APT) as made:
        lab = made.lab
        made.put_many([("web", "1.0")])
        lab.agent("sync")
        interrupt(made, 1, "pointer-renamed:2")
        # Somebody wrote over what stands ready.
        forged = sorted((lab.www / AGENT_DIR / "publishing" / "repo-apt-dev").iterdir())[0]
        forged.write_bytes(b"forged\n")
        before = lab.tree()
        write_config(lab, NOBODY, key.fingerprint)
        said = lab.agent("sync", expect=3)
        assert "interrupted" in said.stderr
        assert lab.tree() == before
        assert not list((lab.www / AGENT_DIR / "publishing").iterdir())
        lab.write_config()
        lab.agent("sync")
        assert faults(lab) == ()


def test_gains_of_a_completed_publish_are_logged_by_the_next_sync(tmp_path: Path, key: Key) -> None:
    with type_stage(tmp_path, key, APT) as made:
        made.put_many([("web", "1.0")])
        made.lab.agent("sync")
        interrupt(made, 1, "pointer-renamed")
        told = made.lab.agent("sync").stderr
        assert "completed" in told
        assert "added=1 " in told
        assert "published" not in made.lab.agent("sync").stderr, "it is told once"


def test_bytes_of_its_own_that_a_killed_agent_left_are_not_called_damaged(tmp_path: Path, key: Key) -> None:
    with new_key("Another <another@example.com>", "rsa2048") as other, type_stage(tmp_path, other, YUM) as made:
        made.put_many([("web", "1.0")])
        made.lab.agent("sync")
        third = make_key(other.home, "Third <third@example.com>", "rsa2048")
        write_config(made.lab, made.lab.server.url, third.fingerprint)
        die(made.lab, "packages-flushed")
        told = made.lab.agent("sync").stderr
        assert "damaged" not in told
        assert "published" in told
        assert faults(made.lab) == ()
