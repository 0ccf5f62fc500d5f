"""usual_archive: what it finds in a control archive is what the reader of all forms finds, and it never refuses."""

import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.archives.tar_blocks import END, GNU, USTAR, V7, Header
from packrat_core.archives.tar_source import FileSource
from packrat_core.errors import Refused
from packrat_core.packages.deb.control import _read_control_file
from packrat_core.packages.deb.usual_archive import SIZE_LIMIT, find_control

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
def test_what_it_finds_the_reader_of_all_forms_finds(blocks: bytes, end: bytes) -> None:
    found = find_control(blocks + end)
    assert found is None or found == read_whole(blocks + end)
