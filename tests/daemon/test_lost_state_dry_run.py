"""A dry run after the state database was lost names what goes, and not the indexes that are written anew."""

import shutil
from collections.abc import Set
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_demo.build_deb import Deb
from support.every_type import fill, mirror_of_all
from support.keys import Key
from support.stage import Stage

STRAYS = frozenset({"stray", "apt-dev/pool/old/old_1_amd64.deb", "yum-dev/primary.xml", "json-dev/d/d.conf"})


GONE = ("apt-dev/dists/buster", "docker-dev/v2/gone", "pypi-dev/simple/gone", "yum-dev/rhel/main/8")
"""A distribution version, an image and a project that the mirror does not have any more."""


def copy_parts(lab: Stage) -> set[str]:
    """Copy a part of each repository, as if it had two; gives the paths of the copies."""
    for part, gone in zip(("bookworm", "web", "other", "9"), GONE, strict=True):
        shutil.copytree((lab.www / gone).with_name(part), lab.www / gone)
    return {path for path in lab.tree() if path.startswith(GONE)}


def check(lab: Stage, *sync: str, more: Set[str] = frozenset()) -> None:
    """Put strays there, and compare what a dry run says with what the sync then does; `more`: other strays."""
    for stray in STRAYS:
        (lab.www / stray).parent.mkdir(parents=True, exist_ok=True)
        (lab.www / stray).write_text("mine")
    before = lab.tree().keys()
    said = lab.agent("sync", "--dry-run", expect=None).stdout.splitlines()
    named = {line[2:].removesuffix(" (untracked)") for line in said if line.endswith(" (untracked)")}
    count = len(STRAYS | more)
    # Of many, the first are named.
    assert named == STRAYS | more or (named < STRAYS | more and f"x … and {count - len(named)} more" in said)
    assert any(f" {count} files would be removed from disk" in line for line in said)
    lab.agent(*sync)
    gone = before - lab.tree().keys()
    assert gone >= STRAYS | more
    # Earlier indexes, which name their content or date.
    assert all("/by-hash/" in path or "/generations/" in path for path in gone - STRAYS - more), gone


def test_a_mirror_of_all_types_without_state_and_mark(tmp_path: Path, key: Key) -> None:
    with mirror_of_all(tmp_path, key) as lab:
        fill(lab)
        lab.agent("sync")
        lab.lose_state()
        # What it remembered of signed packages goes, too: they are downloaded, and signed in their places.
        shutil.rmtree(lab.www / AGENT_DIR)
        check(lab, "sync", "--adopt", "--accept-removals")


def test_what_the_mirror_does_not_have_any_more_is_named(tmp_path: Path, key: Key) -> None:
    with mirror_of_all(tmp_path, key) as lab:
        fill(lab)
        lab.agent("sync")
        lab.lose_state()
        check(lab, "sync", more=copy_parts(lab))


def test_a_mirror_without_its_state_database_alone(lab: Stage) -> None:
    lab.server.put_deb(Deb("tool", "1", "amd64"))
    lab.agent("sync")
    lab.lose_state()
    check(lab, "sync")
