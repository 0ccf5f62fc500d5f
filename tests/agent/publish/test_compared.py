"""Index files that a change leaves as they are: read once, and again only when somebody has changed them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Content, ReadyPublication, TreeFile, UnsignedTree, sha256_of
from packrat_agent.publish.compared import ComparedFiles
from packrat_agent.publish.pointers import discard_pointers
from packrat_agent.publish.writer import intend, publish

REPO = Repo("r", "R", "repo", "apt", ())
LARGE = b"Package: large\n" * 20_000
SMALL = b"Package: small\n"
LATER_NS = 5_000_000_000


class CountedParts:
    """The parts of a file, and how often they were read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0

    def __iter__(self) -> Iterator[bytes]:
        self.reads += 1
        return iter((self.data,))


class Site:
    """A tree whose indexes are published again and again, by an agent that runs."""

    def __init__(self, root: Path, compared: ComparedFiles) -> None:
        self.root = root
        self.staging = root / ".packrat-agent" / "staging"
        self.staging.mkdir(parents=True)
        self._compared = compared

    def publish(self, data: bytes) -> int:
        """Publish an index, under its hash and as a pointer; gives how often its parts were read."""
        parts = CountedParts(data)
        content = Content.known(parts, len(data), sha256_of([data]))
        name = f"by-hash/{content.digest}"
        publication = ReadyPublication("s", "id", (TreeFile(name, content),), (TreeFile("Packages", content),), {})
        tree = UnsignedTree(REPO, (publication,), ("s",))
        publish(tree, (), intend(tree, ()), self.root, self.staging, compared=self._compared)
        discard_pointers(self.root, REPO)
        return parts.reads

    @property
    def pointer(self) -> Path:
        return self.root / "repo" / "Packages"


def clock_that_is_ahead_by(nanoseconds: int, of: Path) -> ComparedFiles:
    """A memory whose clock tells so much more than the ctime of what was written last below a directory."""

    def tell_ns() -> int:
        return max(path.stat().st_ctime_ns for path in (of / "repo").rglob("*")) + nanoseconds

    return ComparedFiles(tell_ns)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, clock_that_is_ahead_by(LATER_NS, tmp_path))


def test_a_large_index_that_stays_as_it_is_is_read_once(site: Site) -> None:
    assert site.publish(LARGE) == 1
    # Its pointer is another name of the file with its hash: what was learned of one is known of the other.
    assert site.publish(LARGE) == 1
    assert site.publish(LARGE) == 0
    assert site.pointer.read_bytes() == LARGE


def test_a_changed_file_is_written_again_though_it_kept_its_size_and_mtime(site: Site) -> None:
    for _ in range(3):
        site.publish(LARGE)
    before = site.pointer.stat()
    with site.pointer.open("r+b") as file:
        file.write(b"X")
    os.utime(site.pointer, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert site.publish(LARGE) > 0
    assert site.pointer.read_bytes() == LARGE


def test_bit_rot_is_written_over_once_it_is_known(tmp_path: Path) -> None:
    compared = clock_that_is_ahead_by(LATER_NS, tmp_path)
    site = Site(tmp_path, compared)
    site.publish(LARGE)
    site.pointer.write_bytes(LARGE[::-1])
    # No time changes when a disk forgets, and a ctime can't be set; so the one is noted that it has now.
    compared.note(site.pointer.stat(), Content.of(LARGE))
    compared.forget()
    site.publish(LARGE)
    assert site.pointer.read_bytes() == LARGE


def test_another_index_of_the_same_size_is_not_taken_for_the_one_that_was_read(site: Site) -> None:
    for _ in range(3):
        site.publish(LARGE)
    other = LARGE[::-1]
    site.publish(other)
    assert site.pointer.read_bytes() == other


def test_a_small_index_is_read_each_time(site: Site) -> None:
    site.publish(SMALL)
    assert [site.publish(SMALL) for _ in range(2)] == [2, 2]


def test_a_file_that_changed_in_this_very_moment_is_not_remembered(tmp_path: Path) -> None:
    site = Site(tmp_path, clock_that_is_ahead_by(LATER_NS // 100, tmp_path))
    site.publish(LARGE)
    assert [site.publish(LARGE) for _ in range(2)] == [2, 2]
