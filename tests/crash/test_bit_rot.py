"""A disk that rots, and one that things are planted on: the full scan finds, mends and tells; the rest stays."""

import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from packrat_agent.audit.verify import verify_tree
from packrat_agent.demo.build_deb import Deb
from stage import Stage

Rot = Callable[[Path, Path], None]
"""(a file of the tree, a directory outside) → what happened to the file."""


def flipped(path: Path, outside: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    # Size, times and inode stay, as when a disk rots.
    times = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def truncated(path: Path, outside: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path, outside: Path) -> None:
    os.truncate(path, 0)


def grown(path: Path, outside: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replaced(path: Path, outside: Path) -> None:
    content = b"?" * path.stat().st_size
    path.unlink()
    path.write_bytes(content)


def gone(path: Path, outside: Path) -> None:
    path.unlink()


def closed(path: Path, outside: Path) -> None:
    path.chmod(0)


def hard_linked(path: Path, outside: Path) -> None:
    """The same file has a name outside, where somebody writes into it."""
    os.link(path, outside / "linked")
    with (outside / "linked").open("r+b") as file:
        file.write(b"evil")


def a_directory(path: Path, outside: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def an_empty_directory(path: Path, outside: Path) -> None:
    path.unlink()
    path.mkdir()


def a_dangling_link(path: Path, outside: Path) -> None:
    path.unlink()
    path.symlink_to(outside / "nowhere")


def a_link_to_the_same_bytes(path: Path, outside: Path) -> None:
    shutil.copy(path, outside / "same")
    path.unlink()
    path.symlink_to(outside / "same")


def a_link_outside(path: Path, outside: Path) -> None:
    path.unlink()
    path.symlink_to(outside / "precious")


def a_fifo(path: Path, outside: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_socket(path: Path, outside: Path) -> None:
    path.unlink()
    here = Path.cwd()
    # The whole path may be longer than that of a socket may be.
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def a_device(path: Path, outside: Path) -> None:
    path.unlink()
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


ROTS: tuple[Rot, ...] = (
    *(flipped, truncated, emptied, grown, replaced, gone, closed, hard_linked, a_directory, an_empty_directory),
    *(a_dangling_link, a_link_to_the_same_bytes, a_link_outside, a_fifo, a_socket),
    *((a_device,) if os.geteuid() == 0 else ()),
)
PLACES = (
    "apt-dev/pool/rotten/rotten_1_amd64.deb",
    "apt-dev/dists/bookworm/InRelease",
    "apt-dev/dists/bookworm/main/binary-amd64/Packages.gz",
    "repo-key.gpg",
)


def content(lab: Stage) -> dict[str, bytes]:
    """Path → bytes of the files that have only one right content."""
    return {path: (lab.www / path).read_bytes() for path in PLACES if "InRelease" not in path}


def outside_of(lab: Stage) -> Path:
    """A directory that is nobody's business, with a file in it."""
    outside = lab.directory / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    return outside


def faults(lab: Stage) -> object:
    """What an audit finds."""
    return verify_tree(lab.www, None, lambda files, size: None).faults


@pytest.mark.parametrize("rot", ROTS, ids=lambda rot: rot.__name__)
def test_what_rots_is_found_mended_and_told(lab: Stage, rot: Rot) -> None:
    lab.server.put_deb(Deb("rotten", "1", "amd64"))
    lab.agent("sync")
    right = content(lab)
    outside = outside_of(lab)
    for number, path in enumerate(PLACES):
        (outside / str(number)).mkdir()
        (outside / str(number) / "precious").write_text("mine")
        rot(lab.www / path, outside / str(number))
    kept = {path: path.lstat().st_mtime_ns for path in outside.rglob("precious")}
    said = lab.agent("sync").stderr
    for path in PLACES:
        assert any("damaged" in line and path in line for line in said.splitlines()), f"{path} was not told:\n{said}"
    assert content(lab) == right
    assert faults(lab) == ()
    for path in PLACES:
        mode = (lab.www / path).lstat().st_mode
        assert (stat.S_ISREG(mode), stat.S_IMODE(mode)) == (True, 0o644)
    assert {path: path.lstat().st_mtime_ns for path in kept} == kept
    assert {path.read_text() for path in kept} == {"mine"}
    # One pass is enough.
    assert "damaged" not in lab.agent("sync").stderr


def test_what_is_planted_goes_and_what_it_leads_to_stays(lab: Stage) -> None:
    lab.server.put_deb(Deb("rotten", "1", "amd64"))
    lab.agent("sync")
    outside = outside_of(lab)
    (outside / "tree").mkdir()
    (outside / "tree/precious").write_text("mine")
    before = set(lab.tree())
    for place in (lab.www, lab.repo, lab.repo / "pool/rotten"):
        (place / "link").symlink_to(outside / "precious")
        (place / "tree").symlink_to(outside / "tree")
        (place / "loop").symlink_to(".")
        (place / "dangling").symlink_to("nowhere")
        (place / "new\nline").write_text("x")
        (place / "-rf").write_text("x")
        (place / os.fsdecode(b"no-utf-8-\xff")).write_text("x")
        os.link(outside / "precious", place / "hard")
        os.mkfifo(place / "fifo")
    lab.agent("sync")
    assert set(lab.tree()) == before
    assert (outside / "precious").read_text() == "mine"
    assert (outside / "tree/precious").read_text() == "mine"
    assert faults(lab) == ()


@pytest.mark.parametrize("place", ["", ".packrat-agent/staging", "apt-dev", "apt-dev/pool", "apt-dev/dists/bookworm"])
def test_a_directory_that_became_a_link_is_not_followed(lab: Stage, place: str) -> None:
    lab.server.put_deb(Deb("rotten", "1", "amd64"))
    lab.agent("sync")
    inner = outside_of(lab) / "inner"
    inner.mkdir()
    (inner / "precious").write_text("mine")
    if place:
        shutil.rmtree(lab.www / place)
    else:
        lab.www.rename(lab.directory / "moved")
    (lab.www / place).symlink_to(inner, target_is_directory=True)
    lab.server.put_deb(Deb("newer", "1", "amd64"))
    ended = [lab.agent("sync", expect=None) for _ in range(2)]
    assert {path.name for path in inner.iterdir()} == {"precious"}, ended[0].stderr
    assert (inner / "precious").read_text() == "mine"
    assert not [one.stderr for one in ended if "Traceback" in one.stderr]
    if place:
        assert ended[1].returncode == 0, ended[1].stderr
        assert faults(lab) == ()
