"""Whatever tar archive we accept, Python's tarfile, GNU tar and Go's archive/tar read the same in it."""

import gzip
import io
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.archives.tar_blocks import (
    BLOCK,
    END,
    GNU,
    USTAR,
    V7,
    Header,
    Read,
    padded,
    read_ours,
    read_theirs,
    record,
    seal,
)
from packrat_agent.formats.docker.unpack import unpack_image
from packrat_core.archives.gzip_stream import GzipStream
from packrat_core.archives.tar import TarReader
from packrat_core.errors import Refused
from packrat_demo.build_image import Image, build_classic

REASONS = re.compile(
    "|".join(
        [
            # tarfile takes damage, or the lack of an end mark, for the end of the archive.
            "no end mark|not octal|checksum|empty one|bytes after the end|ends inside|cut off",
            # Numbers and records that it reads in its own way.
            "larger than any file|the size in an extended|is broken|an empty",
            # Readers disagree on which header counts, or on where the next one stands.
            "two extended|global tar header|bytes after its end|not ustar|two ways|and has|to others",
            "describes no member|clients would cut off",
            # Members that harm, or that no client of ours needs.
            "impossible name|absolute name|leads out|unknown kind|sparse|the limit is",
        ]
    )
)

NAME = st.text("abc./-_é\\ ", min_size=1, max_size=40) | st.text("ab/", min_size=90, max_size=300)
SAFE_NAME = st.lists(
    st.text("abcé-_.", min_size=1, max_size=30).filter(lambda part: ".." not in part), min_size=1, max_size=9
)
PATH = SAFE_NAME.map("/".join).filter(lambda name: name.strip("./") != "")
KINDS = [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]


def same(ours: list[Read], theirs: list[Read] | None) -> bool:
    return theirs is not None and ours == [(kind, os.path.normpath(name), *rest) for kind, name, *rest in theirs]


def compare(archive: bytes) -> None:
    """Accepted: both read the same. Refused: the reason is one of those above."""
    try:
        ours = read_ours(archive)
    except Refused as refused:
        assert REASONS.search(str(refused)), refused
        return
    assert same(ours, read_theirs(archive))


@st.composite
def written_by_tarfile(draw: st.DrawFn) -> bytes:
    output = io.BytesIO()
    form = draw(st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    with tarfile.open(fileobj=output, mode="w", format=form, encoding="utf-8") as archive:
        for path in draw(st.lists(PATH, min_size=1, max_size=5)):
            entry = tarfile.TarInfo(path)
            entry.type = draw(st.sampled_from(KINDS))
            entry.mtime = draw(st.sampled_from([0, 1_700_000_000, 1.5, -1] if form == tarfile.PAX_FORMAT else [0, 1]))
            entry.uid = draw(st.sampled_from([0, 1000, 1 << 30] if form != tarfile.USTAR_FORMAT else [0]))
            data = draw(st.binary(max_size=1100)) if entry.isreg() else b""
            entry.size = len(data)
            if entry.issym() or entry.islnk():
                entry.linkname = draw(PATH)
            try:
                archive.addfile(entry, io.BytesIO(data))
            except ValueError:
                # ustar has no place for such a name.
                archive.addfile(tarfile.TarInfo("short"))
    return output.getvalue()


@settings(deadline=None)
@given(written_by_tarfile())
def test_archives_of_tarfile_are_read_whole(archive: bytes) -> None:
    assert same(read_ours(archive), read_theirs(archive))


@settings(max_examples=300, deadline=None)
@given(written_by_tarfile(), st.data())
def test_changed_archives_are_read_alike_or_refused(archive: bytes, draw: st.DataObject) -> None:
    data = bytearray(archive)
    for _ in range(draw.draw(st.integers(1, 3))):
        block = draw.draw(st.integers(0, len(archive) // BLOCK - 1)) * BLOCK
        at = block + draw.draw(
            st.integers(0, BLOCK - 1) | st.sampled_from([99, 100, 124, 135, 156, 157, 257, 263, 345])
        )
        data[at] = draw.draw(st.integers(0, 255) | st.sampled_from(b"\0 /\x80\xff017xgLK"))
        if draw.draw(st.booleans()):
            # With the right checksum the damage gets further.
            data[block : block + BLOCK] = seal(bytes(data[block : block + BLOCK]))
    compare(bytes(data[: draw.draw(st.just(len(data)) | st.integers(0, len(data)))]))


@st.composite
def made_of_blocks(draw: st.DrawFn) -> bytes:
    """Headers of all kinds in any order, each sound in itself or nearly so."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(
            st.sampled_from([b"0", b"\0", b"1", b"2", b"5", b"7"] + [b"x", b"L", b"K", b"g"] * 2 + [b"S", b"A"])
        )
        data = b""
        if kind in b"xg":
            keyword = st.sampled_from([b"path", b"linkpath", b"size", b"mtime", b"GNU.sparse.name", b"comment"])
            values = st.sampled_from([b"", b"0", b"1", b"512", b"x/", b"a/b", b"a\0b", b"\xff", b"-1", b" 7"])
            data = b"".join(record(draw(keyword), draw(values)) for _ in range(draw(st.integers(0, 2))))
        elif kind in b"LK":
            data = draw(st.sampled_from([b"long/name\0", b"a/\0", b"b", b"\0", b"a\0b\0", b"n" * 512]))
        elif kind in b"0\x007":
            data = draw(st.binary(max_size=20))
        header = Header(
            draw(NAME).encode()[:100],
            kind,
            draw(st.just(len(data)) | st.sampled_from([0, 1, 512])),
            draw(st.sampled_from([b"", b"target", b"a/b"])),
            draw(st.sampled_from([USTAR, USTAR, GNU, V7, b"ustar\0  "])),
            draw(st.sampled_from([b"", b"", b"", b"pre", b"p" * 155])),
        )
        if draw(st.integers(0, 9)) == 0:
            header.patches[draw(st.sampled_from([100, 108, 116, 124, 136, 329, 337, 508]))] = draw(
                st.sampled_from([b" ", b"\0", b"\x80", b"\xff", b"8", b"tar\0", b"0000000 ", b"\0001"])
            )
        body = padded(data)
        if body and draw(st.integers(0, 9)) == 0:
            body = (data + record(b"path", b"hidden")).ljust(len(body), b"\0")[: len(body)]
        parts.append(header.pack() + body)
    return b"".join(parts) + draw(st.sampled_from([END, END, END, bytes(BLOCK), b"", END + b"x"]))


@settings(max_examples=500, deadline=None)
@given(made_of_blocks())
def test_any_sequence_of_headers_is_read_alike_or_refused(archive: bytes) -> None:
    compare(archive)


_ONLY_TOLD = re.compile(
    rb"out of (uid|gid|mode|time)_t range|extended header: invalid mtime=|Exiting with|Substituting .* for empty |"
    rb"A lone zero block at "
)


def gnu_names(archive: bytes) -> list[str] | None:
    command = ["tar", "--list", "--absolute-names", "--quoting-style=literal", "-f", "-"]
    done = subprocess.run(command, input=archive, check=False, capture_output=True)
    # A mode, an owner or a time that is none, or that this machine can't represent, is complained of, but the member
    # is listed; an empty target, and an end of one block in place of two, are only told.
    complaints = [line for line in done.stderr.splitlines() if not _ONLY_TOLD.search(line)]
    if done.returncode != 0 and (complaints or not done.stderr):
        return None
    return done.stdout.decode("utf-8", "backslashreplace").splitlines()


@settings(max_examples=150, deadline=None)
@given(made_of_blocks())
def test_gnu_tar_lists_the_same_members(archive: bytes) -> None:
    try:
        ours = read_ours(archive)
    except Refused:
        return
    theirs = gnu_names(archive)
    assert theirs is not None, subprocess.run(
        ["tar", "-tf", "-"], input=archive, check=False, capture_output=True
    ).stderr
    assert [member[1] for member in ours] == [os.path.normpath(name) for name in theirs]


@pytest.mark.parametrize("form", ["v7", "ustar", "oldgnu", "gnu", "posix"])
def test_archives_of_gnu_tar_are_read_whole(tmp_path: Path, form: str) -> None:
    deep = tmp_path / "t-1" / ("d" * 60 if form == "v7" else "/".join(["directory"] * 12))
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x" * 700)
    (deep / "link").symlink_to("file")
    (tmp_path / "t-1/one").touch()
    (tmp_path / "t-1/two").hardlink_to(tmp_path / "t-1/one")
    (deep / "pipe" if form == "v7" else deep / ("n" * 60)).touch()
    done = subprocess.run(
        ["tar", f"--format={form}", "-C", tmp_path, "-cf", "-", "./t-1"], check=True, capture_output=True
    )
    ours = read_ours(done.stdout)
    assert same(ours, read_theirs(done.stdout))
    assert {member[0] for member in ours} == {"a file", "a directory", "a symbolic link", "a hard link"}


@settings(deadline=None)
@given(written_by_tarfile())
def test_inside_gzip_the_same_is_read(archive: bytes) -> None:
    reader = TarReader(GzipStream(io.BytesIO(gzip.compress(archive, 1))))
    found = [(member.kind.value, member.name, member.size, reader.read(1 << 20), member.target) for member in reader]
    assert found == read_ours(archive)


@pytest.mark.parametrize("form", ["v7", "ustar", "gnu", "posix"])
def test_go_reads_the_same_image(tmp_path: Path, form: str) -> None:
    """skopeo reads image archives with Go's archive/tar."""
    tree, archive, products = tmp_path / "tree", tmp_path / "image.tar", tmp_path / "products"
    products.mkdir()
    with tarfile.open(fileobj=io.BytesIO(build_classic(Image("web", "1.0", ((("base", b"base\n"),),))))) as opened:
        opened.extractall(tree, filter="data")
    subprocess.run(
        ["tar", f"--format={form}", "-C", tree, "-cf", archive, *(path.name for path in tree.iterdir())], check=True
    )
    command = ["skopeo", "inspect", "--raw", "--no-tags", f"docker-archive:{archive}"]
    theirs = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    ours = json.loads(unpack_image(archive, products).body.partition(b"\n")[2])
    assert ours["config"]["digest"] == theirs["config"]["digest"]
    assert len(ours["layers"]) == len(theirs["layers"])


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    compare(data)
