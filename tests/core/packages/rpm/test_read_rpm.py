"""Reads good, odd, torn and hostile .rpm files."""

import gzip
import os
import re
import struct
import subprocess
import tracemalloc
from pathlib import Path
from xml.etree import ElementTree

import createrepo_c
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packrat_agent.formats.yum.read_rpm import _scrub, read_rpm
from packrat_agent.model.entries import Fragment
from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import BINARY, INT32, STRING, STRINGS, Header, Item, RpmFile, walk
from packrat_core.packages.rpm.rules import check_header
from packrat_core.packages.rpm.tags import DIR_INDEXES, DIR_NAMES, NAME
from packrat_demo.build_rpm import Rpm, build_rpm, write_rpm

GOOD = build_rpm(
    Rpm("hello", "1.0", "x86_64", "1.lab", 2, (("greeting", "2.0-1"),), (("/opt/hello", b"hi"), ("/srv/x", b"")))
)
BUSY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(tmp_path: Path, data: bytes) -> Fragment:
    path = tmp_path / "file.rpm"
    path.write_bytes(data)
    return read_rpm(path)


def test_no_file_is_left_open(tmp_path: Path) -> None:
    def count_open() -> int:
        return len(os.listdir("/proc/self/fd"))

    read(tmp_path, GOOD)
    before = count_open()
    read(tmp_path, GOOD)
    with pytest.raises(Refused):
        read(tmp_path, GOOD[:300])
    # What others left for the garbage collector may be gone meanwhile.
    assert count_open() <= before


def header_at(data: bytes) -> int:
    """Where the second header structure begins."""
    return data.index(b"\x8e\xad\xe8\x01", data.index(b"\x8e\xad\xe8\x01") + 1)


def set_entry(tag: int, kind: int | None = None, offset: int | None = None, count: int | None = None) -> bytes:
    """GOOD with fields of one index entry changed."""
    data = bytearray(GOOD)
    start = header_at(GOOD)
    (entries,) = struct.unpack_from(">I", data, start + 8)
    for at in range(start + 16, start + 16 + 16 * entries, 16):
        if struct.unpack_from(">I", data, at)[0] == tag:
            for place, value in ((4, kind), (8, offset), (12, count)):
                if value is not None:
                    struct.pack_into(">I", data, at + place, value)
    return bytes(data)


def test_a_good_package(tmp_path: Path) -> None:
    fragment = read(tmp_path, GOOD)
    assert (fragment.name, fragment.version, fragment.arch) == ("hello", "2:1.0-1.lab", "x86_64")
    primary, filelists, other = fragment.body.split(b"\0")
    assert [body.count(b"\1") for body in (primary, filelists, other)] == [1, 1, 1]
    assert b'<size package="\3" installed="2"' in primary
    assert b'<location href="\2"/>' in primary
    assert b'<rpm:entry name="greeting" flags="EQ" epoch="0" ver="2.0" rel="1"/>' in primary
    assert b"<file>/opt/hello</file>\n  <file>/srv/x</file>" in filelists
    assert b"made to be mirrored" in other


def test_the_header_range_is_where_the_header_stands(tmp_path: Path) -> None:
    (tmp_path / "file.rpm").write_bytes(GOOD)
    with (tmp_path / "file.rpm").open("rb") as file:
        front = walk(file)
    assert GOOD[front.start : front.end] == front.header.blob
    assert f'start="{front.start}" end="{front.end}"'.encode() in read(tmp_path, GOOD).body


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an .rpm"),
        (b"!<arch>\ndebian-binary", "not an .rpm"),
        (GOOD[:50], "damaged"),
        (GOOD[:300], "damaged"),
        (GOOD[: header_at(GOOD) + 200], "damaged"),
        (GOOD[:-1], "damaged"),
        (build_rpm(Rpm("x", "1", "src")), "source package"),
        (build_rpm(Rpm("../x", "1", "noarch")), "unusable name"),
        (build_rpm(Rpm("x", "1/2", "noarch")), "unusable version"),
        (build_rpm(Rpm("x", "1", "no/arch")), "unusable architecture"),
        (set_entry(1000, kind=4), "not aligned"),
        (set_entry(1000, kind=9), "tag 1000 has type 9"),
        (set_entry(1117, count=0x7FFFFFFF), "broken"),
        (set_entry(1117, count=3), "lie outside|differ in length"),
        (set_entry(1117, count=1), "differ in length"),
        (set_entry(1118, offset=0xFFFFFFFF), "broken"),
        (set_entry(1022, offset=0), "broken"),
        (set_entry(1116, kind=3), "its values fill"),
        (GOOD.replace(b"\x8e\xad\xe8\x01\0\0\0\0\0\0\0", b"\x8e\xad\xe8\x01\0\0\0\0\xff\xff\xff"), "entries"),
    ],
)
def test_a_bad_file_is_refused_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read(tmp_path, data)


@pytest.mark.parametrize("name", ["_x", "0x", "x_.+-x"])
def test_names_that_rpmbuild_takes_are_read(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, build_rpm(Rpm(name, "1", "noarch"))).name == name


@pytest.mark.parametrize(("length", "is_read"), [(255, True), (256, False)])
def test_the_longest_name_that_is_read(tmp_path: Path, length: int, is_read: bool) -> None:
    data = build_rpm(Rpm("x" * length, "1", "noarch"))
    if is_read:
        assert read(tmp_path, data).name == "x" * length
    else:
        with pytest.raises(Refused, match="unusable name"):
            read(tmp_path, data)


def front_of(tmp_path: Path, data: bytes) -> RpmFile:
    (tmp_path / "file.rpm").write_bytes(data)
    with (tmp_path / "file.rpm").open("rb") as file:
        return walk(file)


def large_entry(kind: int, count: int) -> bytes:
    """A package whose signature header has one entry with a value of a byte each."""
    magic = b"\x8e\xad\xe8\x01\0\0\0\0"
    signature = magic + struct.pack(">II", 1, count) + struct.pack(">IIII", 1500, kind, 0, count) + bytes(count)
    return GOOD[:96] + signature + bytes(-len(signature) % 8) + GOOD[header_at(GOOD) :]


@pytest.mark.parametrize(("kind", "is_read"), [(BINARY, True), (1, False)])
def test_only_binary_values_may_be_very_many(tmp_path: Path, kind: int, is_read: bool) -> None:
    data = large_entry(kind, 600_000)
    if is_read:
        assert front_of(tmp_path, data).header.text(NAME) == b"hello"
    else:
        with pytest.raises(Refused, match="its signature header is broken: tag 1500 has type 1, 600000 values"):
            front_of(tmp_path, data)


def test_a_value_of_another_type_is_not_there(tmp_path: Path) -> None:
    front = front_of(tmp_path, large_entry(BINARY, 7))
    assert front.signature.binary(1500) == bytes(7)
    assert (front.signature.text(1500), front.signature.numbers(1500)) == (None, ())
    assert (front.header.text(NAME), front.header.binary(NAME), front.header.numbers(NAME)) == (b"hello", None, ())
    assert (front.header.text(9999), front.header.binary(9999), front.header.numbers(9999)) == (None, None, ())


def test_a_text_without_an_end_is_refused(tmp_path: Path) -> None:
    data = large_entry(STRING, 1)
    at = data.index(struct.pack(">IIII", 1500, STRING, 0, 1)) + 16
    assert front_of(tmp_path, data).header.text(NAME) == b"hello"
    with pytest.raises(Refused, match="the values of tag 1500 lie outside it"):
        front_of(tmp_path, data[:at] + b"x" + data[at + 1 :])


@pytest.mark.parametrize(("index", "is_taken"), [(1023, True), (1024, False)])
def test_the_paths_of_a_header_have_a_limit(index: int, is_taken: bool) -> None:
    """As many files as `index` in a directory with a long name, and one in another."""
    long, short = b"d" * 32_768, b"d" * 32_768 if is_taken else b"d"
    store = long + b"\0" + short + b"\0" + struct.pack(f">{index + 1}I", *[0] * index, 1)
    at, end = len(long) + len(short) + 2, len(store)
    items = {DIR_NAMES: Item(STRINGS, 0, at, 2), DIR_INDEXES: Item(INT32, at, end, index + 1)}
    if is_taken:
        check_header(Header(store, 0, items))
    else:
        with pytest.raises(Refused, match="have more than 33554432 bytes"):
            check_header(Header(store, 0, items))


def test_a_few_bytes_that_name_very_many_paths_are_refused(tmp_path: Path) -> None:
    long = "/" + "d" * 40_000
    files = tuple((f"{long}/{number}", b"") for number in range(900))
    with pytest.raises(Refused, match="paths of its files"):
        read(tmp_path, build_rpm(Rpm("bomb", "1", "noarch", files=files)))


def test_a_rich_dependency_that_is_nested_so_deeply_that_clients_crash_is_refused(tmp_path: Path) -> None:
    within = "(a or " * 99 + "(b if c)" + ")" * 99
    wide = "(" + " and ".join(f"libx{number}.so()(64bit)" for number in range(200)) + ")"
    assert read(tmp_path, build_rpm(Rpm("rich", "1", "noarch", requires=((within, ""), (wide, ""))))).name == "rich"
    beside = "(b() or (c) or d()() or "
    deepest = beside + "(" * 99 + "a" + ")" * 99 + ")"
    assert read(tmp_path, build_rpm(Rpm("rich", "1", "noarch", requires=((deepest, ""),)))).name == "rich"
    deeper = beside + "(" * 100 + "a" + ")" * 100 + ")"
    behind = "(a" + ")" * 200 + "(" * 101
    for text in (deeper, behind, "(" * 101 + "a", "(" * 200_000 + "a"):
        with pytest.raises(Refused, match="rich dependency with more than 100 nested"):
            read(tmp_path, build_rpm(Rpm("rich", "1", "noarch", requires=((text, ""),))))


def test_a_rich_dependency_of_so_many_parts_that_clients_crash_is_refused(tmp_path: Path) -> None:
    """libsolv reads each part of a chain in a call of its own."""
    for parts, is_read in ((1000, True), (1001, False), (200_000, False)):
        data = build_rpm(Rpm("rich", "1", "noarch", requires=((f"({' or '.join('a' * parts)})", ""),)))
        if is_read:
            assert read(tmp_path, data).name == "rich"
        else:
            with pytest.raises(Refused, match="rich dependency of more than 2000 words"):
                read(tmp_path, data)


@pytest.mark.parametrize("text", ["x", '"'])
def test_a_text_with_which_libxml2_would_refuse_the_index_is_refused(tmp_path: Path, text: str) -> None:
    longest = text * 1024 * 1024
    fragment = read(tmp_path, build_rpm(Rpm("long", "1", "noarch", requires=((longest, ""),))))
    assert (longest if text == "x" else "&quot;" * 1024 * 1024).encode() in fragment.body
    index = tmp_path / "primary.xml"
    entry = fragment.body.split(b"\0")[0].translate(bytes(byte if byte > 3 else ord("0") for byte in range(256)))
    index.write_bytes(
        b'<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" '
        b'packages="1">\n' + entry + b"</metadata>\n"
    )
    names: list[str] = []
    createrepo_c.xml_parse_primary(str(index), pkgcb=lambda package: names.append(package.name), do_files=False)
    assert names == ["long"]
    with pytest.raises(Refused, match=r"a text of 1048577 bytes under tag 1049"):
        read(tmp_path, build_rpm(Rpm("long", "1", "noarch", requires=((longest + text, ""),))))


def test_texts_that_make_a_bomb_of_the_index_are_refused(tmp_path: Path) -> None:
    """Each of them may be there by itself, and XML writes six bytes for one."""
    requires = tuple(('"' * 1024 * 1024, str(number)) for number in range(6))
    with pytest.raises(Refused, match="come to more than 33554432 bytes"):
        read(tmp_path, build_rpm(Rpm("bomb", "1", "noarch", requires=requires)))
    assert read(tmp_path, build_rpm(Rpm("bomb", "1", "noarch", requires=requires[:5]))).name == "bomb"


def test_file_hashes_and_owners_do_not_count_towards_the_header_limit() -> None:
    """As many as a header may have; with their hashes come user and group."""
    count, items, blob = 500_000, {}, b""
    for tag, text in ((1035, b"0" * 64), (1036, b""), (1039, b"root"), (1040, b"root")):
        packed = (text + b"\0") * count
        items[tag] = Item(STRINGS, len(blob), len(blob) + len(packed), count)
        blob += packed
    check_header(Header(blob, 0, items))


def test_nul_bytes_behind_a_text_cost_next_to_nothing(tmp_path: Path) -> None:
    """A header may have 64 MiB of them; an object for each would come to gigabytes."""
    packed = bytearray(b"\xc3\xa9" + bytes(1_000_000))
    header = Header(bytes(packed), 0, {NAME: Item(STRING, 0, len(packed), 1)})
    tracemalloc.start()
    try:
        assert header.texts(NAME) == [b"\xc3\xa9"]
        assert _scrub(header) == packed
        assert tracemalloc.get_traced_memory()[1] < 6 * len(packed)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("summary", "shown"),
    [
        (b"a\xff\xfeb", "aÿþb"),
        (b"\xc3\xa9\xffb", "Ãÿb"),
        (b"over \xc0\xaf", "over ??"),
        (b"a\x01\x02b", "a??b"),
        ("é\ufffe\uffffb".encode(), "é??????b"),
        (b'<location href="href"/>', '&lt;location href="href"/&gt;'),
    ],
)
def test_oddities_are_replaced_and_the_package_is_kept(tmp_path: Path, summary: bytes, shown: str) -> None:
    body = read(tmp_path, build_rpm(Rpm("odd", "1", "noarch", summary=summary))).body
    assert sum(body.count(mark) for mark in (b"\1", b"\2", b"\3")) == 5
    assert b'<location href="\2"/>' in body
    assert f"<summary>{shown}</summary>".encode() in body


def test_oddities_are_replaced_in_each_text_of_a_list(tmp_path: Path) -> None:
    names = [f"/opt/{letter}\ufffe" for letter in "abc"]
    body = read(tmp_path, build_rpm(Rpm("odd", "1", "noarch", files=tuple((name, b"") for name in names)))).body
    assert all(body.count(b">/opt/%c???</file>" % letter) for letter in b"abc")
    assert b"\xef\xbf\xbe" not in body


def test_control_characters_become_question_marks(tmp_path: Path) -> None:
    """Every character that XML can't contain, in a text that the index shows, a name of a file, and a change."""
    forbidden = bytes(byte for byte in range(1, 32) if byte not in b"\t\n\r")
    name = f"/opt/a{forbidden.decode()}b"
    body = read(
        tmp_path, build_rpm(Rpm("odd", "1", "noarch", files=((name, b""),), summary=b"a" + forbidden + b"b"))
    ).body
    for mark in (b"\1", b"\2", b"\3", b"\0"):
        # The marks, and what parts the fragments, are ours.
        assert body.count(mark) == {b"\1": 3, b"\2": 1, b"\3": 1, b"\0": 2}[mark]
    questions = b"?" * len(forbidden)
    assert not set(body) & (set(forbidden) - {1, 2, 3})
    assert b"<summary>a" + questions + b"b</summary>" in body
    assert body.count(b"/opt/a" + questions + b"b</file>") == 1


LATIN = "café naïve ÿ".encode("latin-1")


@pytest.mark.parametrize(
    "text",
    [
        LATIN,
        b"caf\xe9",
        b"caf\xe8",
        b"\x80\x9f",
        b"caf\xc3\xa9 \xe9",
        "café".encode(),
        b"\xfe\xff",
        b"\xf8\x88\x80\x80\x80",
    ],
)
def test_texts_are_read_as_createrepo_c_reads_them(tmp_path: Path, text: bytes) -> None:
    """createrepo_c itself is the judge, for a summary, a name of a file, and a dependency."""
    name = text.decode("utf-8", "surrogateescape")
    rpm = Rpm("odd", "1", "noarch", files=((f"/opt/{name}", b""),), requires=((name, ""),), summary=text)
    package = write_rpm(rpm, tmp_path)
    subprocess.run(["createrepo_c", "--quiet", "--no-database", "--compress-type=gz", tmp_path], check=True)
    bodies = read_rpm(package).body.split(b"\0")
    for kind, body in zip(("primary", "filelists"), bodies, strict=False):
        theirs = gzip.decompress(next(tmp_path.glob(f"repodata/*-{kind}.xml.gz")).read_bytes())
        pattern = rb"<summary>.*?</summary>|<file>.*?</file>|<rpm:entry name=.*?/>"
        assert re.findall(pattern, body) == re.findall(pattern, theirs)


@BUSY
@given(st.binary(max_size=40))
def test_any_text_makes_xml_that_can_be_read(tmp_path: Path, text: bytes) -> None:
    text = text.replace(b"\0", b"")
    fragment = read(tmp_path, build_rpm(Rpm("odd", "1", "noarch", summary=text)))
    primary = fragment.body.partition(b"\0")[0]
    ElementTree.fromstring(b"<x xmlns:rpm='r'>" + re.sub(rb"[\1\2\3]", b"", primary) + b"</x>")


@BUSY
@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    for start in (b"", GOOD[:96], GOOD[: header_at(GOOD)], GOOD[: header_at(GOOD) + 16]):
        read_or_refuse(tmp_path, start + data)


@BUSY
@given(st.data())
def test_any_damage_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(GOOD) - 1))] = data.draw(st.integers(0, 255))
    read_or_refuse(tmp_path, bytes(damaged))


@BUSY
@given(
    st.sampled_from([63, 1000, 1004, 1009, 1030, 1035, 1047, 1048, 1050, 1081, 1116, 1117, 1118]),
    *[st.one_of(st.none(), st.integers(0, 12), st.integers(0, 2**32 - 1)) for _ in range(3)],
)
def test_any_entry_is_read_or_refused(
    tmp_path: Path, tag: int, kind: int | None, offset: int | None, count: int | None
) -> None:
    read_or_refuse(tmp_path, set_entry(tag, kind, offset, count))


@BUSY
@given(st.binary(max_size=60).filter(lambda text: b"\0" not in text))
def test_any_text_makes_metadata_that_clients_can_parse(tmp_path: Path, text: bytes) -> None:
    from xml.etree import ElementTree

    body = read(tmp_path, build_rpm(Rpm("odd", "1", "noarch", summary=text))).body
    for mark in (b"\1", b"\2", b"\3"):
        body = body.replace(mark, b"x")
    primary = body.split(b"\0")[0].replace(b"rpm:", b"")
    assert ElementTree.fromstring(primary).findtext("summary") is not None


def read_or_refuse(tmp_path: Path, data: bytes) -> None:
    try:
        fragment = read(tmp_path, data)
    except Refused:
        return
    assert len(fragment.body.split(b"\0")) == 3
