"""Readers of Python distributions: what is sound is read, all else is refused, whatever the bytes are."""

import gzip
import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.python.inspect import Kind, NoDistribution, read_distribution
from packrat_demo.build_wheel import (
    Python,
    build_sdist,
    build_sdist_zip,
    build_wheel,
    pack_zip,
    write_metadata,
)
from support.odd_wheels import rename_info

TOOL = Python("My.Tool", "1.0", ("other>=2",), ">=3.8", (("my_tool.py", b"A = 1\n" * 500),))
METADATA = write_metadata(TOOL)
INFO = "My.Tool-1.0.dist-info"
WHEEL, SDIST, SDIST_ZIP = build_wheel(TOOL), build_sdist(TOOL), build_sdist_zip(TOOL)

Entries = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], object]:
    def work(data: bytes) -> object:
        path = tmp_path / "file"
        path.write_bytes(data)
        return read_distribution(path)

    return work


def tar(entries: Entries, form: int = tarfile.PAX_FORMAT) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=form) as archive:
        archive.addfile(file_entry("t-1/PKG-INFO", METADATA), io.BytesIO(METADATA))
        for entry, data in entries:
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(output.getvalue(), mtime=0)


def file_entry(name: str, data: bytes = b"") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    return entry


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


@pytest.mark.parametrize(
    ("data", "kind"), [(WHEEL, Kind.WHEEL), (SDIST, Kind.SDIST), (SDIST_ZIP, Kind.SDIST)], ids=["wheel", "tar", "zip"]
)
def test_sound_files_are_read(tmp_path: Path, data: bytes, kind: Kind) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    found = read_distribution(path)
    assert (found.kind, found.content) == (kind, METADATA)
    assert (found.core.name, found.core.version, found.core.requires_python) == ("My.Tool", "1.0", ">=3.8")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read(read: Callable[[bytes], object], form: int) -> None:
    deep = "t-1/" + "/".join(["directory"] * 12)
    long = f"{deep}/{'n' * (60 if form == tarfile.USTAR_FORMAT else 120)}"
    entries = [(file_entry(long, b"x"), b"x"), special(deep, tarfile.DIRTYPE), special(f"{deep}/l", b"2", "../x")]
    assert read(tar(entries, form))


def test_links_inside_are_harmless(read: Callable[[bytes], object]) -> None:
    assert read(
        tar([special("t-1/a/link", tarfile.SYMTYPE, "../b"), special("t-1/c", tarfile.LNKTYPE, "t-1/PKG-INFO")])
    )


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (special("t-1/../../x", tarfile.REGTYPE), "leads out"),
        (special("t-1/..\\..\\x", tarfile.REGTYPE), "leads out"),
        (special("/etc/x", tarfile.REGTYPE), "absolute name"),
        (special("C:/x", tarfile.REGTYPE), "absolute name"),
        (special("t-1/x", tarfile.SYMTYPE, "../../x"), "link that leads out"),
        (special("t-1/x", tarfile.SYMTYPE, "/etc/passwd"), "absolute target"),
        (special("t-1/x", tarfile.LNKTYPE, "../x"), "link that leads out"),
        (special("t-1/x", tarfile.CHRTYPE), "a character device"),
        (special("t-1/x", tarfile.BLKTYPE), "a block device"),
        (special("t-1/x", tarfile.FIFOTYPE), "a named pipe"),
        (special("t-1/x", tarfile.GNUTYPE_SPARSE), "unknown kind"),
        (special("u-1/PKG-INFO", tarfile.REGTYPE), "more than one PKG-INFO"),
        (special("u-1/PKG-INFO", tarfile.SYMTYPE, "x"), "is a link"),
    ],
)
def test_a_hostile_tar_is_refused(
    read: Callable[[bytes], object], entry: tuple[tarfile.TarInfo, bytes], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        read(tar([entry]))


LINK, HARD, FILE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.REGTYPE
THROUGH_LINKS = {
    "a file": [special("t-1/s", LINK, ".."), special("t-1/s/x", FILE)],
    "a file, the link last": [special("t-1/s/x", FILE), special("t-1/s", LINK, "..")],
    "a link": [special("t-1/s", LINK, ".."), special("t-1/s/t", LINK, ".."), special("t-1/s/t/x", FILE)],
    "a target": [special("t-1/a/b/s", LINK, "../../.."), special("t-1/a/b/t", LINK, "s/../..")],
    "a target, the link last": [special("t-1/a/b/t", LINK, "s/../.."), special("t-1/a/b/s", LINK, "../../..")],
    "a hard link": [special("t-1/a/b/s", LINK, "../../x"), special("t", HARD, "t-1/a/b/s")],
    "a hard link's target": [special("t-1/s", LINK, ".."), special("t-1/h", HARD, "t-1/s/x")],
}


@pytest.mark.parametrize("case", THROUGH_LINKS)
def test_nothing_leads_through_a_link(read: Callable[[bytes], object], case: str) -> None:
    with pytest.raises(Refused, match=r"leads through its link|has the place of a directory"):
        read(tar(THROUGH_LINKS[case]))


@pytest.mark.parametrize(
    "other",
    [
        "my_tool-1.0.dist-info/metadata",
        "my_tool-1.0.dist-info/Record",
        "my_tool-1.0.DIST-INFO/x",
        "My_Tool-1.0.dist-info/x",
        "my_tool-1.0.dist-info/\uff2d\uff25TADATA",
    ],
)
def test_metadata_that_is_one_file_to_some_file_systems_is_refused(read: Callable[[bytes], object], other: str) -> None:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for name, content in (("METADATA", METADATA), ("RECORD", b""), ("WHEEL", b"Wheel-Version: 1.0\n")):
            archive.writestr(f"my_tool-1.0.dist-info/{name}", content)
        archive.writestr("my_tool/Case.h", b"x")
        archive.writestr("my_tool/case.h", b"y")
    assert read(output.getvalue()), "headers of Linux differ in case alone"
    with zipfile.ZipFile(output, "a") as archive:
        archive.writestr(other, METADATA)
    with pytest.raises(Refused, match="are one file where case"):
        read(output.getvalue())


def test_a_name_that_occurs_twice_in_a_wheel_is_refused(read: Callable[[bytes], object]) -> None:
    output = io.BytesIO(WHEEL)
    with zipfile.ZipFile(output, "a") as archive:
        archive.writestr("twice.py", b"a")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("twice.py", b"b")
    with pytest.raises(Refused, match="two members called"):
        read(output.getvalue())


def test_files_beside_the_directory_of_an_sdist_need_a_project_there(read: Callable[[bytes], object]) -> None:
    # pip and uv leave out the first directory only if all members are in it; checked with pip 23.0 and 26, and uv.
    other, project = "pax_global_header", "pyproject.toml"
    for name in (other, "other/file"):
        with pytest.raises(Refused, match="beside the directory 't-1'"):
            read(tar([(file_entry(name), b"")]))
        with pytest.raises(Refused, match="beside the directory 't-1'"):
            read(pack_zip([(name, b""), ("t-1/PKG-INFO", METADATA)]))
    assert read(tar([(file_entry(other), b""), (file_entry(project), b"")]))
    assert read(pack_zip([("t-1/PKG-INFO", METADATA), (other, b""), (project, b"")]))


def test_a_second_spelling_of_pkg_info_is_refused(read: Callable[[bytes], object]) -> None:
    with pytest.raises(Refused, match="are one file where case"):
        read(tar([(file_entry("t-1/pkg-info", METADATA), METADATA)]))


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("../x.py", stat.S_IFREG, "leads out"),
        ("a/..\\..\\x.py", stat.S_IFREG, "leads out"),
        ("/x.py", stat.S_IFREG, "absolute name"),
        ("x", stat.S_IFLNK, "a link or device"),
        ("x", stat.S_IFCHR, "a link or device"),
        ("other-1.dist-info/METADATA", stat.S_IFREG, "more than one metadata"),
    ],
)
def test_a_hostile_zip_is_refused(read: Callable[[bytes], object], name: str, mode: int, reason: str) -> None:
    output = io.BytesIO(WHEEL)
    with zipfile.ZipFile(output, "a") as archive:
        entry = zipfile.ZipInfo(name)
        entry.filename = name
        entry.create_system, entry.external_attr = 3, (mode | 0o644) << 16
        archive.writestr(entry, "x")
    with pytest.raises(Refused, match=reason):
        read(output.getvalue())


def bomb_zip() -> bytes:
    return pack_zip([(f"{INFO}/METADATA", METADATA + b" " * (64 << 20))])


def bomb_of_sizes() -> bytes:
    """A small archive whose central directory says that one member has 300 MiB."""
    data = bytearray(WHEEL)
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<L", 300 << 20)
    return bytes(data)


def bomb_tar() -> bytes:
    output = io.BytesIO()
    with gzip.GzipFile(fileobj=output, mode="wb", mtime=0) as packed:
        header = file_entry("t-1/big", b"").tobuf()
        entry = file_entry("t-1/big")
        entry.size = 1 << 33
        packed.write(entry.tobuf(tarfile.GNU_FORMAT))
        assert len(header) == 512
        zeros = bytes(1 << 20)
        for _ in range(320):
            packed.write(zeros)
    return output.getvalue()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (bomb_zip, "the limit is"),
        (bomb_of_sizes, "decompression bomb"),
        (bomb_tar, "decompression bomb"),
    ],
)
def test_a_bomb_is_refused_in_little_memory(
    read: Callable[[bytes], object], make: Callable[[], bytes], reason: str
) -> None:
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match=reason):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_large_pkg_info_is_refused(tmp_path: Path) -> None:
    big = replace(TOOL, fields=(("Summary", "x" * (5 << 20)),))
    path = tmp_path / "file"
    path.write_bytes(build_sdist(big))
    with pytest.raises(Refused, match="the limit is"):
        read_distribution(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\3\4",
        b"no archive",
        pack_zip([("x/y.py", b"")]),
        gzip.compress(bytes(10240), mtime=0),
        build_sdist(TOOL)[:-9],
        WHEEL[:-1],
        WHEEL + b"x",
        b"#!/bin/sh\n" + WHEEL,
    ],
    ids=["nothing", "start", "text", "other-zip", "zeros", "torn-tar", "torn-zip", "more-after", "more-before"],
)
def test_files_that_are_not_distributions_are_refused(read: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(Refused):
        read(data)


def test_an_archive_without_metadata_is_told_apart(read: Callable[[bytes], object]) -> None:
    with pytest.raises(NoDistribution):
        read(pack_zip([("x/y.py", b"")]))


def test_requirements_that_clients_cannot_read_are_refused_in_a_wheel_and_not_in_an_sdist(
    read: Callable[[bytes], object],
) -> None:
    """Clients take the metadata of a wheel as they are, and build those of a source distribution."""
    odd = replace(TOOL, requires=("other >=2 and more",))
    with pytest.raises(Refused, match="a Requires-Dist that clients can't read"):
        read(build_wheel(odd))
    assert read(build_sdist(odd))


def test_a_directory_that_names_the_archive_itself_is_not_beside_anything(read: Callable[[bytes], object]) -> None:
    assert read(tar([special("./", tarfile.DIRTYPE), special("t-1/x", tarfile.REGTYPE)]))


def test_the_metadata_must_be_that_of_the_wheel(read: Callable[[bytes], object]) -> None:
    with pytest.raises(Refused, match=r"is that of My\.Tool"):
        read(pack_zip([("other-1.0.dist-info/METADATA", METADATA)]))


@pytest.mark.parametrize(
    ("directory", "is_read"),
    [
        ("my_tool-1.0", True),
        ("my.tool-1.0", True),
        ("MY__TOOL-1.0", True),
        ("my_tool-v1.0", True),
        ("my_tool-1.0-1", True),
        ("my_tool-1.0+a-b", True),
        # The name ends at the first dash, and what follows must be a version.
        ("my-tool-1.0", False),
        ("my_tool-x", False),
        ("my_tool-", False),
        ("my_tool", False),
        ("my_tool-1_1.0", False),
        ("my_tool-1.0-py3", False),
    ],
)
def test_clients_find_name_and_version_in_the_name_of_the_directory(
    read: Callable[[bytes], object], directory: str, is_read: bool
) -> None:
    wheel = rename_info(WHEEL, f"{directory}.dist-info")
    if is_read:
        assert read(wheel)
    else:
        with pytest.raises(Refused, match="clients read there the name"):
            read(wheel)


def test_a_wheel_whose_metadata_pip_cannot_read_as_text_is_refused(read: Callable[[bytes], object]) -> None:
    for content, reason in ((METADATA + b"\xff\n", "is not UTF-8"), (b"\xef\xbb\xbf" + METADATA, "byte order mark")):
        with pytest.raises(Refused, match=reason):
            read(pack_zip([(f"{INFO}/METADATA", content)]))


ANY = "py3-none-any"


@pytest.mark.parametrize(
    ("wheel", "file_name"),
    [
        (f"Tag: {ANY}\n", f"My.Tool-1.0-{ANY}.whl"),
        (f"Build: 1b\nTag: {ANY}\n", f"My.Tool-1.0-1b-{ANY}.whl"),
        (f"Build: one\nTag: {ANY}\n", ""),
        (f"Build: 1/../x\nTag: {ANY}\n", ""),
        ("Tag: py2-none-any\nTag: py3-none-any\n", "My.Tool-1.0-py2.py3-none-any.whl"),
        (f"Tag: {ANY}\n" * 500, f"My.Tool-1.0-{ANY}.whl"),
        (f"Tag: {ANY}\n" * 501, ""),
        ("Tag: of no shape\n", ""),
        ("", ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wheel_is_named_by_its_own_tags(tmp_path: Path, wheel: str, file_name: str) -> None:
    tags = (f"{INFO}/WHEEL", f"Wheel-Version: 1.0\n{wheel}".encode())
    (tmp_path / "file").write_bytes(pack_zip([(f"{INFO}/METADATA", METADATA), tags, (f"{INFO}/RECORD", b"")]))
    assert read_distribution(tmp_path / "file").file_name == file_name


def test_two_headers_of_one_member_must_agree(read: Callable[[bytes], object]) -> None:
    at = WHEEL.index(f"{INFO}/METADATA".encode())
    with pytest.raises(Refused, match="disagree"):
        read(WHEEL[:at] + b"m" + WHEEL[at + 1 :])
