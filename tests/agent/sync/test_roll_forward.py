"""What a disk cut off among its last steps is complete before the mirror's repositories change."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.model.records import MirrorView, Repo
from packrat_agent.model.tree import Content, ReadyPublication, TreeFile, UnsignedTree
from packrat_agent.publish.pointers import are_pointers_ready, staged_name, staging_pointers
from packrat_agent.publish.writer import intend
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.known_repos import keep_repos
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.sync.roll_forward import roll_forward_all
from support.mirror_conf import write_mirror_conf

OLD = Repo("old", "", "apt", "apt", ())
NEW = replace(OLD, name="new")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[MirrorContext]:
    (tmp_path / "state").mkdir()
    with open_mirror(load(write_mirror_conf(tmp_path, mirror="grace_period: 0\n"))) as made:
        made.store.repos.save([OLD])
        yield made


def test_a_repository_that_gets_the_directory_of_another_keeps_its_index(context: MirrorContext) -> None:
    publication = ReadyPublication("s", "id", (), (TreeFile("InRelease", Content.of(b"old")),), {})
    context.store.intents.begin(intend(UnsignedTree(OLD, (publication,), ("s",)), ()))
    with staging_pointers(context.root, OLD) as directory:
        (directory / staged_name("apt/InRelease")).write_bytes(b"old")
    (context.root / "apt").mkdir()
    keep_repos(context, MirrorView("", (NEW,), ()), NOTHING_CONFIRMED)
    assert (context.root / "apt/InRelease").read_bytes() == b"old"
    assert not are_pointers_ready(context.root, OLD)
    (context.root / "apt/InRelease").write_bytes(b"new")
    roll_forward_all(context.store, context.root, context.kept)
    assert (context.root / "apt/InRelease").read_bytes() == b"new"
