"""A disk that rots, and one that things are planted on: the full scan finds, mends and tells; the rest stays."""

import itertools
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from packrat_agent.verify.tree import verify_tree
from packrat_demo.build_deb import Deb
from support.keys import Key
from support.kinds import KINDS, Kind
from support.stage import DEADLINE_S, Stage
from support.type_stage import TypeStage, type_stage

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


def a_link_to_a_name_that_is_not_utf8(path: Path, outside: Path) -> None:
    path.unlink()
    path.symlink_to(os.fsdecode(b"\xff"))


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
    *(a_dangling_link, a_link_to_the_same_bytes, a_link_outside, a_link_to_a_name_that_is_not_utf8, a_fifo, a_socket),
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
def test_rotten_files_are_found_mended_and_told(lab: Stage, rot: Rot) -> None:
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


def timeless(made: TypeStage) -> dict[str, bytes]:
    """The indexes, without what names the generation."""
    return {
        path: data for path, data in made.indexes().items() if not re.search("generations/|mirrorlist|metalink", path)
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("first", range(0, len(ROTS), 5))
def test_every_file_of_every_type_rots_and_is_mended(tmp_path: Path, key: Key, kind: Kind, first: int) -> None:
    """Every file and link at once, each in its way."""
    with type_stage(tmp_path, key, kind) as made:
        made.put("one", "1")
        made.put("two", "1")
        lab = made.lab
        lab.extra["public_url"] = "http://repo.example.com"
        lab.write_config()
        lab.agent("sync")
        offered, right = made.offered(), timeless(made)
        outside = outside_of(lab)
        rots = itertools.islice(itertools.cycle(ROTS), first, None)
        spoiled: list[str] = []
        inodes = set()
        for path in sorted(lab.repo.rglob("*")):
            name = str(path.relative_to(lab.www))
            if path.is_symlink():
                spoiled.append(name)
                a_link_outside(path, outside)
            elif path.is_file() and path.stat().st_size and (inode := path.stat().st_ino) not in inodes:
                # A second name of the same file rots along with the first.
                inodes.add(inode)
                spoiled.append(name)
                own = outside / str(len(spoiled))
                own.mkdir()
                (own / "precious").write_text("mine")
                next(rots)(path, own)
        assert faults(lab) != ()
        said = lab.agent("sync").stderr
        told = {line.partition("damaged path=")[2].partition(" text=")[0].strip('"') for line in said.splitlines()}
        assert [name for name in spoiled if name not in told] == []
        assert made.offered() == offered
        assert timeless(made) == right
        assert faults(lab) == ()
        assert {path.read_text() for path in outside.rglob("precious")} == {"mine"}
        assert "damaged" not in lab.agent("sync").stderr


NO_PRIVILEGE = "-dac_override,-dac_read_search,-fowner"


def sync_as_a_user(lab: Stage) -> "subprocess.CompletedProcess[str]":
    """Run a sync that modes and owners of files count for, as they do for an agent that is not root."""
    limit = ["setpriv", f"--bounding-set={NO_PRIVILEGE}", f"--inh-caps={NO_PRIVILEGE}"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*limit, *lab.command("sync")], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


@pytest.mark.parametrize("mode", [0o000, 0o600, 0o500, 0o700])
def test_a_directory_that_is_closed_even_to_its_owner_is_opened(lab: Stage, mode: int) -> None:
    lab.server.put_deb(Deb("rotten", "1", "amd64"))
    lab.agent("sync")
    before = lab.tree()
    places = ("apt-dev", "apt-dev/pool/rotten", "apt-dev/dists/bookworm/main")
    for place in sorted(places, reverse=True):
        (lab.www / place).chmod(mode)
    done = sync_as_a_user(lab)
    assert done.returncode == 0, done.stderr
    for place in places:
        assert f"damaged path={place} " in done.stderr
        assert stat.S_IMODE((lab.www / place).stat().st_mode) == 0o755
    # Nothing was lost by it, or made again.
    assert lab.tree() == before


def test_a_private_directory_that_is_kept_stays_private(lab: Stage) -> None:
    private = lab.www / "private"
    lab.extra["keep_file"] = str(private)
    lab.write_config()
    lab.agent("sync")
    private.mkdir()
    (private / "mine").write_text("mine")
    for mode in (0o700, 0o000):
        private.chmod(mode)
        done = sync_as_a_user(lab)
        assert (done.returncode, "private" in done.stderr) == (0, False), done.stderr
        assert stat.S_IMODE(private.stat().st_mode) == mode
    private.chmod(0o700)
    assert (private / "mine").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")
def test_files_of_another_user_are_reported_and_stop_nothing(lab: Stage) -> None:
    lab.agent("sync")
    for name, mode in (("readable", 0o755), ("secret", 0o700), ("lost+found", 0o700)):
        (lab.www / name).mkdir()
        (lab.www / name / "theirs").write_text("x")
        (lab.www / name).chmod(mode)
        os.chown(lab.www / name, 12345, 12345)
    lab.server.put_deb(Deb("rotten", "1", "amd64"))
    done = sync_as_a_user(lab)
    assert done.returncode == 0, done.stderr
    assert "Package: rotten" in lab.packages()
    told = [line for line in done.stderr.splitlines() if " untracked " in line]
    assert len(told) == 2
    assert "path=readable/theirs" in told[1]
    assert "keep_file_list" in told[1]
    assert "path=secret" in told[0]
    assert "make it the agent's, or remove it" in told[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_ours_that_was_given_away_is_named(lab: Stage) -> None:
    lab.server.put_deb(Deb("rotten", "1", "amd64"))
    lab.agent("sync")
    pool = lab.repo / "pool"
    pool.chmod(0o700)
    os.chown(pool, 12345, 12345)
    done = sync_as_a_user(lab)
    assert done.returncode == 7
    told = done.stderr.splitlines()[-1]
    assert f"{pool}/rotten: Permission denied; {pool} belongs to 12345:12345 with mode 0700" in told
    assert f"`chown -R root:root {pool}`" in told
    assert (pool / "rotten/rotten_1_amd64.deb").exists()
    os.chown(pool, os.geteuid(), os.getegid())
    done = sync_as_a_user(lab)
    assert done.returncode == 0, done.stderr
    assert "0 B downloaded" in done.stdout
    assert faults(lab) == ()


def test_planted_links_are_removed_and_their_targets_stay(lab: Stage) -> None:
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
    assert not [run.stderr for run in ended if "Traceback" in run.stderr]
    if place:
        assert ended[1].returncode == 0, ended[1].stderr
        assert faults(lab) == ()
