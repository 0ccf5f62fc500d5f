"""What a change ends is gone at once for clients, and what it does not touch stays."""

from pathlib import Path

from packrat_agent.config.load import load
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, ReadyPublication, TreeFile, UnsignedTree
from packrat_agent.sync.commit import make_live
from packrat_agent.sync.mirror import open_mirror
from support.mirror_conf import write_mirror_conf

REPO = Repo("pypi", "", "pypi", "pypi", ())


def project(name: str, text: bytes) -> ReadyPublication:
    page = TreeFile(f"simple/{name}/index.html", Content.of(text))
    return ReadyPublication(name, text.decode(), (), (page,))


def test_the_pages_of_a_project_that_a_change_ends_are_removed_and_no_others(tmp_path: Path) -> None:
    with open_mirror(load(write_mirror_conf(tmp_path))) as context:
        context.store.repos.save([REPO])
        pages = context.root / "pypi/simple"
        make_live(UnsignedTree(REPO, (project("a", b"1"), project("b", b"1")), ("a", "b")), (), (), context)
        make_live(UnsignedTree(REPO, (project("c", b"1"),), None, frozenset({"a"})), (), (), context)
        assert {path.parent.name for path in pages.glob("*/index.html")} == {"b", "c"}
        assert context.store.publications.identities("pypi").keys() == {"b", "c"}
        make_live(UnsignedTree(REPO, (project("b", b"2"),), None), (), (), context)
        assert (pages / "b/index.html").read_bytes() == b"2"
        assert (pages / "c/index.html").read_bytes() == b"1"
