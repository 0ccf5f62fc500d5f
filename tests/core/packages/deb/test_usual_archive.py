"""usual_archive: what it finds in a package is what the readers of all forms find, and it never refuses."""

import bz2
import gzip
import io
import lzma
import random

import pytest
from backports import zstd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.archives.tar_blocks import END, GNU, USTAR, V7, Header
from packrat_core.archives.tar_source import FileSource
from packrat_core.errors import Refused
from packrat_core.packages.deb.control import (
    CONTROL_ARCHIVE_LIMIT,
    _read_control_file,
    find_archives,
    open_archive,
    read_control_of,
    read_open_control,
)
from packrat_core.packages.deb.usual_archive import SIZE_LIMIT, find_control, find_in_package
from packrat_demo.build_deb import Compression, Deb, build_deb
from support.apt_packages import ar
from support.fuzz.mutate import mutate

CONTROL = b"Package: x\n"
NAMES = [b"./control", b"control", b"./", b".", b"./md5sums", b"postinst", b"./control/", b"./a/b", b"../x", b"", b"."]


def part(name: bytes = b"./control", content: bytes = CONTROL, **fields: object) -> bytes:
    """A header and the content behind it."""
    header = Header(name=name, **{"size": len(content), **fields})  # type: ignore[arg-type]
    return header.pack() + content + bytes(-len(content) % 512)


def read_whole(archive: bytes) -> bytes | None:
    """What the reader of all forms finds; None if it refuses."""
    try:
        return _read_control_file(FileSource(io.BytesIO(archive)))
    except Refused:
        return None


TOP = part(b"./", b"", kind=b"5")
USUAL = {
    "alone": part() + END,
    "without the directory in its name": part(b"control") + END,
    "as dpkg-deb writes it": TOP + part(b"./postinst", b"#!") + part() + part(b"./md5sums", b"x" * 600) + END,
    "padded": part() + END + bytes(9000),
}
OTHER = {
    "no control file": part(b"./md5sums") + END,
    "two control files": part() + part(b"control", b"Package: y\n") + END,
    "no end mark": part(),
    "bytes behind the end": part() + END + b"x",
    "a torn member": part()[:600],
    "more than there is": part(size=5000) + END,
    "a wrong checksum": b"X" + part()[1:] + END,
    "a link": part(content=b"", kind=b"2", target=b"/etc/passwd") + END,
    "a directory": part(content=b"", kind=b"5") + END,
    "a directory with bytes": part(b"./", CONTROL, kind=b"5") + part() + END,
    "a directory with a control file in its bytes": part(b"./", part(), kind=b"5") + END,
    "an extended header": part(b"x", b"18 path=./control\n", kind=b"x") + part(b"./y") + END,
    "a name in two fields": part(b"control", prefix=b".") + END,
    "a file below a directory": part(b"./a/control") + part() + END,
    "nothing": b"",
}


@pytest.mark.parametrize("archive", USUAL.values(), ids=USUAL)
def test_the_usual_forms_are_known(archive: bytes) -> None:
    assert find_control(archive) == read_whole(archive) == CONTROL


@pytest.mark.parametrize("archive", OTHER.values(), ids=OTHER)
def test_all_else_is_left_to_the_reader_of_all_forms(archive: bytes) -> None:
    assert find_control(archive) is None


def test_a_large_archive_is_left_to_it(archive: bytes = part() + END) -> None:
    assert find_control(archive + bytes(SIZE_LIMIT - len(archive))) == CONTROL
    assert find_control(archive + bytes(SIZE_LIMIT - len(archive) + 512)) is None


def test_data_far_behind_the_end_is_seen() -> None:
    """The quick reader must not take what it reads of an archive for all of it."""
    padded = part() + END
    padded += bytes(SIZE_LIMIT - len(padded))
    # A signature before the control archive makes a package of another form than the usual one.
    further = ("_gpg", b"xy")
    assert read_control_of(ar(VERSION, further, ("control.tar.gz", gzip.compress(padded)), DATA)) == CONTROL
    for behind in (b"x", part(b"control", b"Package: y\n")):
        with pytest.raises(Refused, match="bytes after the end of the tar archive"):
            read_control_of(ar(VERSION, further, ("control.tar.gz", gzip.compress(padded + behind)), DATA))


HEADERS = st.builds(
    Header,
    name=st.sampled_from(NAMES),
    kind=st.sampled_from([b"0", b"5", b"\0", b"7", b"2", b"1", b"x", b"L", b"3"]),
    size=st.sampled_from([0, 0, 11, 512, 513, b"11         \0", b"\x80" + bytes(10) + b"\x0b"]),
    target=st.sampled_from([b"", b"control"]),
    magic=st.sampled_from([USTAR, GNU, V7]),
    prefix=st.sampled_from([b"", b"", b".", b"a"]),
    patches=st.sampled_from([{}, {}, {330: b"7"}, {100: b"x"}, {508: b"tar\0"}]),
)
BLOCKS = st.one_of(
    HEADERS.map(Header.pack),
    st.sampled_from([CONTROL.ljust(512, b"\0"), bytes(512), b"x" * 512, part(), TOP, part(b"./md5sums"), b"x"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(BLOCKS, max_size=6).map(b"".join), st.sampled_from([b"", END, END + bytes(9000), END + b"x"]))
@example(part(), END)
def test_the_quick_reader_finds_what_the_full_reader_finds(blocks: bytes, end: bytes) -> None:
    found = find_control(blocks + end)
    assert found is None or found == read_whole(blocks + end)


def read_slowly(package: bytes) -> bytes | None:
    """What the readers of all forms find in a package; None if they refuse."""
    file = io.BytesIO(package)
    try:
        control, _ = find_archives(file)
        return _read_control_file(open_archive(file, control, CONTROL_ARCHIVE_LIMIT))
    # Neither do they know a control archive that is compressed in a way that dpkg doesn't unpack.
    except (Refused, KeyError):
        return None


ARCHIVE = TOP + part() + part(b"./md5sums", b"x" * 600) + END
VERSION = ("debian-binary", b"2.0\n")
DATA = ("data.tar.xz", lzma.compress(END))
PACKED = {
    "control.tar": ARCHIVE,
    "control.tar.gz": gzip.compress(ARCHIVE),
    "control.tar.xz": lzma.compress(ARCHIVE),
    "control.tar.zst": zstd.compress(ARCHIVE),
}
LARGE = part() + bytes(SIZE_LIMIT)


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("data", ["data.tar", "data.tar.gz", "data.tar.zst", "data.tar.bz2", "data.tar.lzma/"])
def test_the_usual_packages_are_known(name: str, data: str) -> None:
    package = ar(VERSION, (name, PACKED[name]), (data, b"odd"))
    assert find_in_package(package, len(package)) == read_slowly(package) == CONTROL


@pytest.mark.parametrize("further", [[], [("_gpgorigin", b"")]])
@pytest.mark.parametrize("size", [3, 200_000])
def test_an_open_package_of_any_form_is_read_from_any_position(further: list[tuple[str, bytes]], size: int) -> None:
    package = ar(VERSION, ("control.tar.xz", PACKED["control.tar.xz"]), ("data.tar", bytes(size)), *further)
    assert (find_in_package(package, len(package)) is None) == bool(further)
    for position in (0, 100, len(package)):
        file = io.BytesIO(package)
        file.seek(position)
        assert read_open_control(file) == CONTROL


@pytest.mark.parametrize("compression", ["none", "gz", "xz", "zst"])
def test_packages_that_dpkg_takes_are_known(compression: Compression) -> None:
    package = build_deb(Deb("x", "1", "amd64", compression=compression))
    found = find_in_package(package, len(package))
    assert found is not None
    assert found == read_slowly(package)


def test_the_data_archive_need_not_be_at_hand() -> None:
    package = ar(VERSION, ("control.tar", ARCHIVE), ("data.tar", bytes(10_000)))
    start = len(package) - 10_000
    assert find_in_package(package[:start], len(package)) == CONTROL
    assert find_in_package(package[: start - 1], len(package)) is None


ODD = {
    "nothing": b"",
    "another version": ar(("debian-binary", b"2.1\n"), ("control.tar", ARCHIVE), DATA),
    "a longer version": ar(("debian-binary", b"2.0\n\n\n"), ("control.tar", ARCHIVE), DATA),
    "no data": ar(VERSION, ("control.tar", ARCHIVE)),
    "a signature between": ar(VERSION, ("control.tar", ARCHIVE), ("_gpg", b"x"), DATA),
    "a signature at the end": ar(VERSION, ("control.tar", ARCHIVE), DATA, ("_gpg", b"x")),
    "data of another name": ar(VERSION, ("control.tar", ARCHIVE), ("data.tar.Z", b"x")),
    "control of another compression": ar(VERSION, ("control.tar.bz2", bz2.compress(ARCHIVE)), DATA),
    "control with more behind it": ar(VERSION, ("control.tar.gz", gzip.compress(ARCHIVE) + b"x"), DATA),
    "control of two streams": ar(VERSION, ("control.tar.gz", gzip.compress(ARCHIVE) * 2), DATA),
    "control that is torn": ar(VERSION, ("control.tar.xz", lzma.compress(ARCHIVE)[:-1]), DATA),
    "control with a wrong checksum": ar(VERSION, ("control.tar.gz", gzip.compress(ARCHIVE)[:-8] + bytes(8)), DATA),
    "control that unpacks to much": ar(VERSION, ("control.tar.gz", gzip.compress(LARGE)), DATA),
    "control that is large": ar(VERSION, ("control.tar", LARGE), DATA),
    "torn": ar(VERSION, ("control.tar", ARCHIVE), DATA)[:-1],
    "longer than its members": ar(VERSION, ("control.tar", ARCHIVE), DATA) + b"\n",
}


@pytest.mark.parametrize("package", ODD.values(), ids=ODD)
def test_other_packages_are_left_to_the_readers_of_all_forms(package: bytes) -> None:
    assert find_in_package(package, len(package)) is None


MEMBERS = st.one_of(
    st.sampled_from([VERSION, DATA, ("data.tar", b"x"), ("data.tar.gz/", b""), ("_gpg", b"x"), ("control.tar.Z", b"")]),
    st.sampled_from(sorted(PACKED.items())),
    st.sampled_from(sorted(PACKED)).map(lambda name: (name, PACKED["control.tar.gz"])),
    st.sampled_from([USUAL["padded"], OTHER["two control files"], OTHER["a link"]]).map(
        lambda tar: ("control.tar", tar)
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.lists(MEMBERS, max_size=4),
        st.tuples(st.just(VERSION), MEMBERS, MEMBERS).map(list),
        st.tuples(st.just(VERSION), MEMBERS, MEMBERS, MEMBERS).map(list),
    ),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_the_quick_reader_finds_in_a_package_what_the_full_readers_find(
    members: list[tuple[str, bytes]], seed: int, is_changed: bool
) -> None:
    package = ar(*members)
    if is_changed:
        package = mutate(random.Random(seed), package, [ar(VERSION, item, DATA) for item in PACKED.items()])
    found = find_in_package(package, len(package))
    assert found is None or found == read_slowly(package)
    if found is not None:
        assert read_control_of(package) == found


@pytest.mark.parametrize("name", PACKED)
def test_no_changed_byte_makes_it_find_what_the_readers_of_all_forms_refuse(name: str) -> None:
    package = ar(VERSION, (name, PACKED[name]), DATA)
    for at in range(len(package)):
        for changed in (package[at] ^ 1, package[at] ^ 0x20, 0):
            other = package[:at] + bytes([changed]) + package[at + 1 :]
            found = find_in_package(other, len(other))
            assert found is None or found == read_slowly(other), (at, changed)
