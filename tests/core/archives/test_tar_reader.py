"""The tar reader refuses what is torn, hostile, or read differently by different clients."""

import io
import os
import subprocess
from pathlib import Path

import pytest

from core.archives.tar_blocks import (
    BLOCK,
    END,
    GNU,
    V7,
    Header,
    extended,
    member,
    padded,
    pax,
    read_ours,
    read_theirs,
    record,
)
from packrat_core.archives.tar import TarKind, TarLimits, TarMember, TarReader, refuse_unsafe
from packrat_core.archives.tar_source import FileSource
from packrat_core.errors import Refused

FILE = member(Header(), b"x")
LONG = b"t-1/" + b"n" * 150
HUGE = b"\x80" + bytes(4) + b"\xff" * 7


def changed(block: bytes, at: int) -> bytes:
    return block[:at] + bytes([block[at] ^ 1]) + block[at + 1 :]


@pytest.mark.parametrize("at", [0, 50, 107, 123, 124, 135, 147, 150, 156, 200, 257, 300, 400, 511])
def test_a_changed_byte_of_a_header_is_noticed_by_its_checksum(at: int) -> None:
    assert read_ours(FILE + FILE + END)
    with pytest.raises(Refused, match=r"checksum|not octal"):
        read_ours(FILE + changed(FILE[:BLOCK], at) + FILE[BLOCK:] + END)


def test_a_checksum_counts_every_byte() -> None:
    for at in [*range(148), *range(156, BLOCK)]:
        with pytest.raises(Refused):
            read_ours(changed(FILE, at) + END)


@pytest.mark.parametrize(
    ("archive", "expected"),
    [
        (member(Header(magic=V7), b"ab"), ("a file", "t-1/file", 2)),
        (member(Header(b"t-1/dir/", b"\0", magic=V7)), ("a directory", "t-1/dir", 0)),
        (member(Header(b"t-1/old", b"\0", magic=V7), b"a"), ("a file", "t-1/old", 1)),
        (member(Header(b"t-1/c", b"7"), b"a"), ("a file", "t-1/c", 1)),
        (member(Header(magic=GNU), b"ab"), ("a file", "t-1/file", 2)),
        (member(Header(prefix=b"t-1/deep")), ("a file", "t-1/deep/t-1/file", 0)),
        (member(Header(prefix=b"a")), ("a file", "a/t-1/file", 0)),
        (member(Header(prefix=b"a" * 155)), ("a file", "a" * 155 + "/t-1/file", 0)),
        (member(Header(prefix=b"a" * 155, patches={500: b"b"})), ("a file", "a" * 155 + "/t-1/file", 0)),
        (member(Header(prefix=b"a" * 130, patches={508: b"tar\0"})), ("a file", "a" * 130 + "/t-1/file", 0)),
        (member(Header(b"./control"), b"a"), ("a file", "control", 1)),
        (member(Header(b"./", b"5")), ("a directory", ".", 0)),
        (extended(b"L", LONG + b"\0") + member(Header(magic=GNU), b"a"), ("a file", LONG.decode(), 1)),
        (pax(path=LONG) + member(Header(), b"a"), ("a file", LONG.decode(), 1)),
        (pax(size=b"1") + Header().pack() + padded(b"a"), ("a file", "t-1/file", 1)),
        (extended(b"g", record(b"comment", b"x")) + FILE, ("a file", "t-1/file", 1)),
        (extended(b"g", b"") * 2 + pax(mtime=b"1") + FILE, ("a file", "t-1/file", 1)),
        (pax(mtime=b"1.5", **{"SCHILY.xattr.x": b"a=b\nc"}) + FILE, ("a file", "t-1/file", 1)),
        (Header(size=b"\x80" + bytes(10) + b"\1").pack() + padded(b"a"), ("a file", "t-1/file", 1)),
        (Header(patches={136: b"\xff" * 12}).pack(), ("a file", "t-1/file", 0)),
        (Header(patches={100: b"   644 \0", 124: b"          0 "}).pack(), ("a file", "t-1/file", 0)),
        (Header(b"t-1/l", b"2", target=b"file").pack(), ("a symbolic link", "t-1/l", 0)),
        (extended(b"K", b"d" * 120 + b"\0") + Header(b"t-1/l", b"1").pack(), ("a hard link", "t-1/l", 0)),
    ],
)
def test_all_dialects_are_read_as_tarfile_reads_them(archive: bytes, expected: tuple[str, str, int]) -> None:
    (found,) = read_ours(archive + END)
    assert found[:3] == expected
    theirs = read_theirs(archive + END)
    assert theirs is not None
    (their,) = theirs
    assert (their[0], os.path.normpath(their[1]), *their[2:]) == found


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (b"", "no end mark"),
        (bytes(10240), "empty"),
        (b"#!/bin/sh\n" * 200, "not octal|checksum"),
        (FILE, "no end mark"),
        (FILE + bytes(300), "no end mark"),
        (FILE[:BLOCK], "ends inside"),
        (Header(size=10_000).pack() + END, "ends inside"),
        (FILE + END + b"x", "bytes after the end"),
        (FILE + END + bytes(600_000) + FILE, "bytes after the end"),
        (FILE + bytes(BLOCK) + FILE + END, "bytes after the end"),
        # Numbers
        (Header(size=b"\x80" + bytes(3) + b"\xff" * 8).pack() + END, "larger than any file"),
        (Header(size=HUGE).pack() + END, "larger than any file"),
        (Header(size=b"\xff" * 12).pack() + END, "not octal"),
        (Header(size=b"\xff" * 11 + b"\0").pack() + END, "not octal"),
        (Header(size=b"-0000000001\0").pack() + END, "not octal"),
        (Header(size=b"\0" + b"00000000001").pack() + END, "not octal"),
        (Header(size=b"0000000000\x001").pack() + END, "not octal"),
        (Header(size=b"1 1        \0").pack() + END, "not octal"),
        (Header(size=b"0x1        \0").pack() + END, "not octal"),
        (Header(patches={108: b"user\0\0\0\0"}).pack() + END, "not octal"),
        (Header(patches={329: b"9"}).pack() + END, "not octal"),
        (pax(size=b"-1") + FILE + END, "the size in an extended"),
        (pax(size=b"9" * 16) + FILE + END, "the size in an extended"),
        (pax(size=b"1e3") + FILE + END, "the size in an extended"),
        # Names
        (member(Header(b"")) + END, "impossible name"),
        (member(Header(b".")) + END, "impossible name"),
        (member(Header(b"a/../../b")) + END, "leads out"),
        (member(Header(b"a\\..\\..\\b")) + END, "leads out"),
        (member(Header(b"/etc/passwd")) + END, "absolute name"),
        (member(Header(b"C:\\x")) + END, "absolute name"),
        (member(Header(b"C:x")) + END, "absolute name"),
        (member(Header(b"passwd", prefix=b"/etc")) + END, "absolute name"),
        (pax(path=b"../x") + FILE + END, "leads out"),
        (pax(path=b"a\0b") + FILE + END, "cut off"),
        (pax(linkpath=b"a\0b") + Header(kind=b"2").pack() + END, "cut off"),
        (extended(b"L", b"a\0b\0") + FILE + END, "cut off"),
        (extended(b"L", b"\0\0") + FILE + END, "impossible name"),
        (pax(path=b"") + FILE + END, "an empty path"),
        (member(Header(magic=GNU, prefix=b"evil")) + END, "not ustar"),
        (member(Header(magic=V7, prefix=b"evil")) + END, "not ustar"),
        (member(Header(prefix=b"a" * 131, patches={508: b"tar\0"})) + END, "two ways"),
        (member(Header(prefix=b"a" * 155, patches={508: b"tar\0"})) + END, "two ways"),
        # Files, directories and links
        (member(Header(b"t-1/PKG-INFO/", b"0"), b"x") + END, "a directory to others"),
        (extended(b"L", b"a/b\0") + member(Header(b"a/", b"\0")) + END, "directory to others"),
        (extended(b"L", b"a/b/\0") + member(Header(b"a", b"\0")) + END, "directory to others"),
        (Header(b"d", b"5", 512).pack() + FILE + END, "is a directory, and has 512 bytes"),
        (Header(b"l", b"2", 512, b"x").pack() + FILE + END, "is a symbolic link, and has"),
        (Header(b"l", b"1", 512, b"x").pack() + FILE + END, "is a hard link, and has"),
        (pax(size=b"512") + Header(b"d", b"5").pack() + FILE + END, "is a directory, and has"),
        (Header(kind=b"S").pack() + END, "unknown kind"),
        (Header(kind=b"M").pack() + END, "unknown kind"),
        (Header(kind=b"D").pack() + END, "unknown kind"),
        # Extended headers
        (extended(b"L", b"a\0") + extended(b"L", b"b\0") + FILE + END, "two extended"),
        (extended(b"L", b"a\0") + pax(path=b"b") + FILE + END, "two extended"),
        (pax(path=b"b") + extended(b"L", b"a\0") + FILE + END, "two extended"),
        (extended(b"K", b"a\0") + pax(linkpath=b"b") + Header(kind=b"2").pack() + END, "two extended"),
        (pax(path=b"a") + pax(mtime=b"1") + FILE + END, "two extended"),
        (pax(path=b"a") + extended(b"g", record(b"comment", b"x")) + FILE + END, "two extended"),
        (extended(b"g", record(b"path", b"x")) + FILE + END, "global tar header"),
        (extended(b"g", record(b"size", b"9")) + FILE + END, "global tar header"),
        (pax(path=b"a") + END, "describes no member"),
        (FILE + extended(b"g", record(b"comment", b"x")) + END, "describes no member"),
        (FILE + extended(b"L", b"a\0") + END, "describes no member"),
        (extended(b"x", b"9 path=ab\n") + FILE + END, "is broken"),
        (extended(b"x", b"11 path=abc") + FILE + END, "is broken"),
        (extended(b"x", b"99 path=a\n") + FILE + END, "is broken"),
        (extended(b"x", b"0 path=a\n") + FILE + END, "is broken"),
        (extended(b"x", b"x path=a\n") + FILE + END, "is broken"),
        (extended(b"x", record(b"mtime", b"1") + b"\0\0") + FILE + END, "is broken"),
        (extended(b"x", record(b"GNU.sparse.major", b"1")) + FILE + END, "sparse"),
        (
            Header(kind=b"x", size=13).pack()
            + (record(b"comment", b"x") + record(b"path", b"evil")).ljust(512, b"\0")
            + FILE
            + END,
            "bytes after its end",
        ),
        (Header(kind=b"L", size=4).pack() + b"t-1/evil".ljust(512, b"\0") + FILE + END, "bytes after its end"),
        (Header(kind=b"x", size=1 << 21).pack() + END, "the limit is"),
        (Header(kind=b"x", size=600).pack() + bytes(512), "ends inside"),
    ],
)
def test_torn_hostile_or_ambiguous_archives_are_refused(archive: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read_ours(archive)


@pytest.mark.parametrize(
    ("limits", "archive", "reason"),
    [
        (TarLimits(members=3), FILE * 4 + END, "more than 3 members"),
        (TarLimits(members=3), extended(b"g", b"") * 4 + FILE + END, "more than 3 members"),
        (TarLimits(name=10), pax(path=b"n" * 11) + FILE + END, "the limit is 10"),
        (TarLimits(extended=40), pax(path=b"n" * 60) + FILE + END, "the limit is 40"),
    ],
)
def test_an_archive_beyond_a_limit_is_refused(limits: TarLimits, archive: bytes, reason: str) -> None:
    assert list(TarReader(FileSource(io.BytesIO(pax(path=b"n" * 5) + FILE + FILE + END)), limits))
    with pytest.raises(Refused, match=reason):
        list(TarReader(FileSource(io.BytesIO(archive)), limits))


@pytest.mark.parametrize(
    ("kind", "target", "reason"),
    [
        (TarKind.SYMBOLIC_LINK, "../../x", "leads out"),
        (TarKind.SYMBOLIC_LINK, "..\\..\\x", "leads out"),
        (TarKind.HARD_LINK, "../x", "leads out"),
        (TarKind.SYMBOLIC_LINK, "/etc/passwd", "absolute target"),
        (TarKind.SYMBOLIC_LINK, "C:\\x", "absolute target"),
        (TarKind.CHARACTER_DEVICE, "", "is a character device"),
        (TarKind.BLOCK_DEVICE, "", "is a block device"),
        (TarKind.NAMED_PIPE, "", "is a named pipe"),
    ],
)
def test_unsafe_members_are_refused(kind: TarKind, target: str, reason: str) -> None:
    refuse_unsafe(TarMember("t/x", TarKind.SYMBOLIC_LINK, 0, 0, "../y"))
    with pytest.raises(Refused, match=reason):
        refuse_unsafe(TarMember("t/x", kind, 0, 0, target))


def test_a_member_is_read_up_to_a_limit_and_the_walk_goes_on() -> None:
    reader = TarReader(FileSource(io.BytesIO(member(Header(), b"a" * 700) + FILE + END)))
    walk = iter(reader)
    assert next(walk).size == 700
    with pytest.raises(Refused, match="700 bytes, the limit is 699"):
        reader.read(699)
    assert reader.read(700) == b"a" * 700
    assert next(walk).size == 1
    assert next(walk, None) is None


def test_payload_is_skipped_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "big.tar"
    with path.open("wb") as file:
        file.write(Header(size=7 << 30).pack())
        file.truncate(BLOCK + (7 << 30) + 2 * BLOCK)
    with path.open("rb") as file:
        (found,) = TarReader(FileSource(file))
    assert found.size == 7 << 30


def test_payload_that_is_skipped_must_be_there() -> None:
    with pytest.raises(Refused, match="cut off"):
        list(TarReader(FileSource(io.BytesIO(Header(size=10_000).pack() + END))))


def test_the_control_archive_of_a_real_deb_is_read(tmp_path: Path) -> None:
    """dpkg-deb writes it; what it unpacks is what we read."""
    control = tmp_path / "tree/DEBIAN"
    control.mkdir(parents=True)
    (control / "control").write_text("Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a\n")
    (control / "postinst").write_text("#!/bin/sh\n")
    (control / "postinst").chmod(0o755)
    deb, out = tmp_path / "a.deb", tmp_path / "out"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tmp_path / "tree", deb], check=True, capture_output=True)
    archive = subprocess.run(["dpkg-deb", "--ctrl-tarfile", deb], check=True, capture_output=True).stdout
    subprocess.run(["dpkg-deb", "-e", deb, out], check=True)
    found = {name: data for kind, name, _, data, _ in read_ours(archive) if kind == "a file"}
    assert found == {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(found) == {"control", "postinst"}
