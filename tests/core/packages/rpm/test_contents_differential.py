"""Archives made wrong at random are refused where the real rpm fails or does harm, and only there."""

import os
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.packages.rpm.test_contents import refusal
from support.rpm_payloads import GHOST, Listed, Package, Packed, gzipped, install, pack, write_package

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="rpm installs as root only")

DIRECTORY, LINK = stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
PATHS = ("/opt/a", "/opt/b", "/opt/a/c", "/opt/d", "/opt/a.b", "/opt/B", "/usr/a")
DATA = (b"", b"a", b"data", b"x" * 9)


@st.composite
def listed_files(draw: st.DrawFn) -> list[Listed]:
    """Files of any type, some of them links to each other."""
    files = []
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=5, unique=True)):
        kind = draw(st.sampled_from(("file", "file", "link", "link", "directory", "symlink", "ghost")))
        # Where a file stands below a ghost, rpm makes a directory of it, and only `rpm --verify` minds.
        if kind == "directory" or (kind == "ghost" and path == "/opt/a"):
            files.append(Listed(path, mode=DIRECTORY))
        elif kind == "symlink":
            files.append(Listed(path, target=draw(st.sampled_from(("x", "target"))), mode=LINK))
        elif kind == "link":
            inode = draw(st.integers(7, 8))
            # Content of their own: rpm does not notice that it makes an equal file one of the links.
            files.append(Listed(path, b"link %d" % inode, inode=inode))
        else:
            files.append(Listed(path, draw(st.sampled_from(DATA)), flags=GHOST if kind == "ghost" else 0))
    return files


@st.composite
def archives(draw: st.DrawFn, files: list[Listed]) -> bytes:
    """An archive of the files, with a few changes."""
    last = {file.inode: number for number, file in enumerate(files) if file.inode}
    members = [
        Packed(
            number if draw(st.integers(0, 5)) == 0 else f".{file.path}",
            b"" if last.get(file.inode, number) != number else file.target.encode() or file.data,
        )
        for number, file in enumerate(files)
        if not file.flags
    ]
    for _ in range(draw(st.integers(0, 2))):
        if not members:
            break
        at = draw(st.integers(0, len(members) - 1))
        change = draw(st.sampled_from(("drop", "double", "move", "bytes", "size", "name", "number")))
        member = members.pop(at)
        if change == "drop":
            continue
        if change == "bytes":
            member = replace(member, data=draw(st.sampled_from(DATA)))
        elif change == "size":
            member = replace(member, size=draw(st.integers(0, 9)))
        elif change == "name":
            member = replace(member, name=f"{draw(st.sampled_from(('', '.', './.')))}{draw(st.sampled_from(PATHS))}")
        elif change == "number":
            member = replace(member, name=draw(st.integers(-1, len(files))))
        if change in ("double", "move"):
            members.insert(draw(st.integers(0, len(members))), member)
        if change != "move":
            members.insert(at, member)
    return pack(members, end=draw(st.integers(0, 9)) > 0)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_rpm_and_ours_agree(data: st.DataObject) -> None:
    files = data.draw(listed_files())
    package = Package(files, gzipped(data.draw(archives(files))))
    with tempfile.TemporaryDirectory() as scratch:
        path = write_package(Path(scratch) / "x.rpm", package)
        assert bool(refusal(path)) == bool(outcome := install(path, Path(scratch) / "root")), outcome
