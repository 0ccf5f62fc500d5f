"""The lists of packages follow what the state database has of each index, at the cost of what changed."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from packrat_agent.config.load import load
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import DistroVersion, PackageFile, Repo, Wanted
from packrat_agent.model.tree import Content, ReadyPublication, TreeFile, UnsignedTree
from packrat_agent.site_page.package_list import DIRECTORY
from packrat_agent.sync.commit import make_live
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.landing.site import publish_site
from packrat_agent.sync.mirror import open_mirror
from support.mirror_conf import write_mirror_conf

REPO = Repo("apt-prod", "", "apt-prod", "apt", (DistroVersion("bookworm", "debian", "bookworm", "deb"),))


def entry(name: str) -> Entry:
    """A package as the index has it."""
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    file_name = f"{name}_1_amd64.deb"
    file = PackageFile(
        f"/api/{name}:", name, "bookworm", "1", "deb", "x86_64", f"/files/{file_name}", file_name, sha256
    )
    return Entry(file, f"pool/{file_name}", Fragment(b"", name, "1", "amd64", size=1))


class Mirror:
    """A mirror with one repository, whose index is changed without a server."""

    def __init__(self, context: MirrorContext) -> None:
        self.context = context
        self.entries: dict[str, Entry] = {}
        self.number = 0
        context.store.repos.save([REPO])

    def change(self, new: Sequence[str], gone: Sequence[str] = ()) -> None:
        """Have other packages in the index, and publish it and the page."""
        store, changed = self.context.store, {*new, *gone}
        self.entries |= {name: entry(name) for name in new}
        for name in gone:
            del self.entries[name]
        files = tuple(each.file for each in self.entries.values())
        store.wanted.remember_wanted(REPO.name, Wanted(frozenset(file.uri for file in files), files, ()), None)
        fragments = {self.entries[name].file.sha256: self.entries[name].fragment for name in new}
        store.fragments.save(self.context.source_of(FORMATS["apt"], REPO), fragments)
        self.number += 1
        index = TreeFile("dists/bookworm/Release", Content.of(str(self.number).encode()))
        published = ReadyPublication("bookworm", str(self.number), (), (index,), {})
        make_live(UnsignedTree(REPO, (published,), ("bookworm",)), (), (), self.context)
        store.wanted.set_live(REPO.name, list(self.entries.values()), None)
        self.context.page.note(REPO.name, changed)
        self.context.page.note_synced(REPO.name)

    def shards(self) -> dict[str, int]:
        """Map the names of the list's files to their inodes."""
        return {path.name: path.stat().st_ino for path in (self.context.root / REPO.directory / DIRECTORY).iterdir()}


@contextmanager
def mirror(directory: Path) -> Iterator[Mirror]:
    (directory / "state").mkdir(exist_ok=True)
    with open_mirror(load(write_mirror_conf(directory))) as context:
        yield Mirror(context)


def test_a_change_writes_one_shard_and_the_index(tmp_path: Path) -> None:
    with mirror(tmp_path) as made:
        made.change([f"lib{number:04}" for number in range(3000)])
        publish_site(made.context)
        before = made.shards()
        assert len(before) > 5
        assert "3,000" in (made.context.root / "index.html").read_text()
        made.change(["lib1500-extra"])
        publish_site(made.context)
        after = made.shards()
        assert len(after.keys() - before.keys()) == 1
        assert after["index.json"] != before["index.json"]
        # An old shard stays for who has read the index that names it.
        assert before.keys() <= after.keys()
        assert all(after[name] == inode for name, inode in before.items() if name != "index.json")
        assert "3,001" in (made.context.root / "index.html").read_text()


def test_unpublished_lists_are_found_by_the_next_process(tmp_path: Path) -> None:
    with mirror(tmp_path) as made:
        made.change(["one", "two"])
        publish_site(made.context)
        before = made.shards()
        made.change(["three"], gone=["one"])
    with mirror(tmp_path) as again:
        # Until its repository is synced, a list stays as it is.
        publish_site(again.context)
        assert again.shards() == before
        again.context.page.note_synced(REPO.name)
        publish_site(again.context)
        index = (again.context.root / REPO.directory / DIRECTORY / "index.json").read_text()
        assert '"packages":2,"shards":[["three"' in index


def test_a_damaged_shard_is_made_again(tmp_path: Path) -> None:
    with mirror(tmp_path) as made:
        made.change(["one", "two"])
        publish_site(made.context)
        [shard] = made.shards().keys() - {"index.json"}
        path = f"{REPO.directory}/{DIRECTORY}/{shard}"
        (made.context.root / path).unlink()
        made.context.store.live.forget([path])
        publish_site(made.context)
        assert (made.context.root / path).is_file()


def test_a_list_goes_with_its_repository(tmp_path: Path) -> None:
    with mirror(tmp_path) as made:
        made.change(["one"])
        publish_site(made.context)
        made.context.store.repos.save([replace(REPO, name="other", directory="other")])
        publish_site(made.context)
        # Shards stay for the grace period, and nothing leads to them.
        assert "index.json" not in made.shards()
        assert made.context.store.publications.identities("").keys() == {"site"}


def test_repositories_that_swap_their_directories_swap_their_lists(tmp_path: Path) -> None:
    """Each has the other's paths, and neither takes them away again."""
    with mirror(tmp_path) as made:
        store, context = made.context.store, made.context
        for one, other in (("one", "two"), ("two", "one")):
            repos = [replace(REPO, name="a", directory=one), replace(REPO, name="b", directory=other)]
            store.repos.save(repos)
            for repo in repos:
                listed = entry(f"of-{repo.name}")
                store.wanted.remember_wanted(repo.name, Wanted([listed.file.uri], (listed.file,), ()), None)
                index = TreeFile("dists/bookworm/Release", Content.of(repo.directory.encode()))
                release = ReadyPublication("bookworm", repo.directory, (), (index,), {})
                make_live(UnsignedTree(repo, (release,), ("bookworm",)), (), (), context)
                store.wanted.set_live(repo.name, [listed], None)
                context.page.note(repo.name, None)
                context.page.note_synced(repo.name)
            publish_site(context)
            for repo in repos:
                directory = context.root / repo.directory / DIRECTORY
                index_of = (directory / "index.json").read_text()
                assert f'"of-{repo.name}"' in index_of
                assert (directory / f"{index_of.split(chr(34))[7]}.json").is_file()
