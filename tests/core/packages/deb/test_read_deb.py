"""Reading a .deb: what real packages look like is read, what could mislead a client is refused."""

import bz2
import lzma
import subprocess
import tarfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from packrat_agent.model.entries import Fragment
from packrat_core.errors import Refused
from packrat_core.packages.deb.control import CONTROL_ARCHIVE_LIMIT, read_control
from packrat_demo.build_deb import Compression, Deb, build_deb
from support.apt_packages import ar, deb_of, gz, tar
from support.apt_packages import read as read_fragment

CONTROL = b"Package: x\nVersion: 1\nArchitecture: amd64\n"
MIB = 1 << 20
DEBIAN_BINARY = ("debian-binary", b"2.0\n")
DATA = ("data.tar", tar(("./usr/share/x", b"x")))
MEMBERS = (DEBIAN_BINARY, ("control.tar", tar(("./control", CONTROL))), DATA)
BSD_CONTROL = ("#1/14", b"control.tar.gz" + gz(tar(("./control", CONTROL.replace(b" x", b" other")))))


def read(tmp_path: Path, data: bytes) -> bytes:
    path = tmp_path / "x.deb"
    path.write_bytes(data)
    return read_control(path)


def refusal(tmp_path: Path, data: bytes) -> str:
    """Why a file is refused."""
    with pytest.raises(Refused) as caught:
        read(tmp_path, data)
    return str(caught.value)


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A tar member that is not a file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def extended(kind: bytes, content: bytes) -> bytes:
    """A tar extension member and the file that it speaks of."""
    info = tarfile.TarInfo("./x")
    info.type, info.size = kind, len(content)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    return header + content + b"\0" * (-len(content) % 512) + tar(("./control-not", CONTROL))


@pytest.mark.parametrize("compression", ["none", "gz", "xz", "zst"])
def test_every_compression_that_dpkg_writes_is_read(tmp_path: Path, compression: Compression) -> None:
    data = build_deb(Deb("x", "1", "amd64", compression=compression))
    assert read(tmp_path, data).startswith(b"Package: x\nVersion: 1\n")
    said = subprocess.run(
        ["dpkg-deb", "--field", str(tmp_path / "x.deb"), "Package"], check=True, capture_output=True, text=True
    )
    assert said.stdout == "x\n"


GOOD: dict[str, Callable[[], bytes]] = {
    "./control": lambda: deb_of(tar(("./control", CONTROL))),
    "control": lambda: deb_of(tar(("control", CONTROL))),
    "after other files": lambda: deb_of(tar(("./", member("./", b"5")), ("./md5sums", b"x"), ("./control", CONTROL))),
    "before other files": lambda: deb_of(tar(("./control", CONTROL), ("./control.d", b"x"), ("./d/control", b"y"))),
    "ar names with a slash": lambda: ar(
        ("debian-binary/", b"2.0\n"), ("control.tar.gz/", gz(tar(("./control", CONTROL)))), ("data.tar/", b"")
    ),
    "format 2.1": lambda: ar(
        ("debian-binary", b"2.1\nx\n"), ("control.tar", tar(("./control", CONTROL))), ("data.tar", b"")
    ),
    "the longest debian-binary": lambda: ar(("debian-binary", b"2.0\n".ljust(64, b"\n")), *MEMBERS[1:]),
    "a signature before control": lambda: ar(DEBIAN_BINARY, ("_gpgbuilder", b"x"), *MEMBERS[1:]),
    "a signature before data": lambda: ar(*MEMBERS[:2], ("_gpgbuilder", b"xy"), DATA),
    "signatures at the end": lambda: ar(*MEMBERS, ("_gpgorigin", b"x"), ("_gpgbuilder", b"xyz")),
    "something for later versions at the end": lambda: ar(*MEMBERS, ("extra", b"x")),
    "data as bz2": lambda: ar(*MEMBERS[:2], ("data.tar.bz2", bz2.compress(tar()))),
    "an odd size": lambda: deb_of(gz(tar(("./control", CONTROL))) + b"\0", "control.tar.gz"),
    "a second gzip member": lambda: deb_of(
        gz(tar(("md5sums", b"x"))[:1024]) + gz(tar(("control", CONTROL))), "control.tar.gz"
    ),
    "the largest control archive": lambda: ar(
        DEBIAN_BINARY, ("control.tar", tar(("./control", CONTROL)).ljust(CONTROL_ARCHIVE_LIMIT, b"\0")), DATA
    ),
    "a long line": lambda: deb_of(tar(("./control", CONTROL + b"Provides: " + b"a, " * MIB + b"\n"))),
}


@pytest.mark.parametrize("name", sorted(GOOD))
def test_debs_shaped_like_real_ones_are_read(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, GOOD[name]()).startswith(CONTROL)


def bomb(data: bytes) -> bytes:
    return zlib.compress(data, 9, 31)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "an empty file": (lambda: b"", "the ar signature is missing"),
    "another file": (lambda: b"\x7fELF" * 30, "the ar signature is missing"),
    "an ar without members": (lambda: b"!<arch>\n", "an ar member header is missing"),
    "an ar of something else": (lambda: ar(("a.o", b"x")), "its first member is 'a.o', not debian-binary"),
    "a broken ar header": (lambda: ar(("debian-binary", b"2.0\n")).replace(b"`\n", b"``"), "ar member header"),
    "a size that is not a number": (
        lambda: ar(("debian-binary", b"2.0\n")).replace(b"4         `", b"-4        `"),
        "size",
    ),
    "another format": (lambda: ar(("debian-binary", b"3.0\n"), ("control.tar", b"")), "format version other than 2"),
    "a huge debian-binary": (
        lambda: ar(("debian-binary", b"2.0\n".ljust(65, b"\n")), *MEMBERS[1:]),
        "format version other than 2",
    ),
    "a member before control": (
        lambda: ar(DEBIAN_BINARY, ("gpgbuilder", b"x"), ("control.tar", tar(("control", CONTROL))), DATA),
        "its second member is 'gpgbuilder', not the control archive",
    ),
    "a member before debian-binary": (lambda: ar(("_gpg", b"x"), *MEMBERS), "its first member is '_gpg'"),
    "a member between control and data": (
        lambda: ar(*MEMBERS[:2], ("gpg", b"x"), DATA),
        "its third member is 'gpg', not the data archive",
    ),
    "data of an unknown compression": (lambda: ar(*MEMBERS[:2], ("data.tar.Z", b"x")), "'data.tar.Z'"),
    "data that is not a tar": (lambda: ar(*MEMBERS[:2], ("data.tarx", b"x")), "'data.tarx'"),
    "no data": (lambda: ar(*MEMBERS[:2]), "damaged: it has no data archive"),
    "no data, but a signature": (lambda: ar(*MEMBERS[:2], ("_gpg", b"x")), "damaged: it has no data archive"),
    "nothing but its format": (lambda: ar(DEBIAN_BINARY), "damaged: nothing but debian-binary"),
    "two control archives": (lambda: ar(*MEMBERS[:2], *MEMBERS[1:]), "its third member is 'control.tar'"),
    "a control archive behind the data": (lambda: ar(*MEMBERS, MEMBERS[1]), "second control or data archive"),
    "two data archives": (lambda: ar(*MEMBERS, ("data.tar.gz", b"")), "second control or data archive"),
    "a control archive behind a name of BSD's ar": (
        lambda: ar(*MEMBERS, BSD_CONTROL),
        "a member '#1/14', whose name apt",
    ),
    "a byte too many": (lambda: ar(*MEMBERS) + b"\n", "header is missing or broken behind its member 'data.tar'"),
    "other bytes behind it": (lambda: ar(*MEMBERS) + bytes(512), "header is missing or broken behind its member"),
    "a second package behind it": (lambda: ar(*MEMBERS) * 2, "header is missing or broken behind its member"),
    "a member without its padding": (lambda: ar(*MEMBERS, ("_gpg", b"x"))[:-1], "the file ends inside its member"),
    "more members than any package has": (lambda: ar(*MEMBERS, *[("_gpg", b"")] * 1000), "more than 1000 members"),
    "no end of the format": (lambda: ar(("debian-binary", b"2.0"), *MEMBERS[1:]), "format version other than 2"),
    "a format without a minor version": (lambda: ar(("debian-binary", b"2\n"), *MEMBERS[1:]), "format version"),
    "data before control": (
        lambda: ar(("debian-binary", b"2.0\n"), ("data.tar", tar()), ("control.tar", tar(("control", CONTROL)))),
        "its second member is 'data.tar'",
    ),
    "bz2": (lambda: deb_of(bz2.compress(tar(("control", CONTROL))), "control.tar.bz2"), "compressed as '.bz2'"),
    "lzma": (
        lambda: deb_of(lzma.compress(tar(("control", CONTROL)), lzma.FORMAT_ALONE), "control.tar.lzma"),
        "compressed as '.lzma'",
    ),
    "lzma called xz": (
        lambda: deb_of(lzma.compress(tar(("control", CONTROL)), lzma.FORMAT_ALONE), "control.tar.xz"),
        "not valid xz",
    ),
    "no gzip": (lambda: deb_of(tar(("control", CONTROL)), "control.tar.gz"), "not valid gzip"),
    "no zstd": (lambda: deb_of(tar(("control", CONTROL)), "control.tar.zst"), "not valid zstd"),
    "no control": (lambda: deb_of(tar(("md5sums", b""))), "no file called control"),
    "an empty control archive": (lambda: deb_of(b""), "its control archive is not a tar file"),
    "two controls": (lambda: deb_of(tar(("./control", CONTROL), ("control", CONTROL))), "two members called control"),
    "two controls, one odd": (
        lambda: deb_of(tar(("./control", CONTROL), (".//./control", CONTROL))),
        "two members called control",
    ),
    "control is a symbolic link": (
        lambda: deb_of(tar(("md5sums", CONTROL), ("control", member("control", b"2", "md5sums")))),
        "is a link or device",
    ),
    "control is a hard link": (
        lambda: deb_of(tar(("md5sums", CONTROL), ("control", member("control", b"1", "md5sums")))),
        "is a link or device",
    ),
    "control is a directory": (lambda: deb_of(tar(("control", member("control", b"5")))), "is a link or device"),
    "control is a device": (lambda: deb_of(tar(("control", member("control", b"3")))), "is a link or device"),
    "control by a GNU long name": (lambda: deb_of(extended(b"L", b"./control\0")), "by an extended header"),
    "control by a pax header": (lambda: deb_of(extended(b"x", b"18 path=./control\n")), "by an extended header"),
    "a gzip bomb": (
        lambda: deb_of(bomb(tar(("x", bytes(CONTROL_ARCHIVE_LIMIT + MIB)))), "control.tar.gz"),
        "unpacks to more",
    ),
    "an xz bomb": (
        lambda: deb_of(lzma.compress(tar(("x", bytes(CONTROL_ARCHIVE_LIMIT + MIB))), preset=0), "control.tar.xz"),
        "unpacks to more",
    ),
    "a zstd bomb": (
        lambda: deb_of(zstd.compress(tar(("x", bytes(CONTROL_ARCHIVE_LIMIT + MIB)))), "control.tar.zst"),
        "unpacks to more",
    ),
    "a size that is a lie": (
        lambda: (
            ar(("debian-binary", b"2.0\n"))
            + f"{'control.tar':<16}{0:<12}{0:<6}{0:<6}{0:<8}{9999999999:<10}`\n".encode()
        ),
        "damaged: the file ends inside its member 'control.tar'",
    ),
    "a control archive that is too large": (
        lambda: ar(DEBIAN_BINARY, ("control.tar", bytes(CONTROL_ARCHIVE_LIMIT + 1)), DATA),
        f"its control archive has {CONTROL_ARCHIVE_LIMIT + 1} bytes, the limit is",
    ),
    "more members than anybody needs": (lambda: deb_of(bomb(header() * 10_001), "control.tar.gz"), "10000 members"),
    "a name that leads out of where dpkg unpacks it": (
        lambda: deb_of(tar(("../x", b""), ("./control", CONTROL))),
        "its control archive holds a member that leads out",
    ),
    "a link that leads out of there": (
        lambda: deb_of(tar(("./x", member("./x", b"2", "../../etc/passwd")), ("./control", CONTROL))),
        "its member 'x' is a link that leads out of the archive",
    ),
    "a device": (lambda: deb_of(tar(("./x", member("./x", b"3")), ("./control", CONTROL))), "is a character device"),
    "a tar size that is not a number": (lambda: deb_of(header(b"0000000zzzz\0")), "tar header"),
    "a negative tar size": (lambda: deb_of(header(b"\xff" * 12)), "tar header"),
    "a tar member that is cut off": (
        lambda: deb_of(tar(("control", CONTROL * 20))[:600]),
        "damaged: the tar archive ends inside a member",
    ),
    "a tar header that is cut off": (lambda: deb_of(tar(("control", CONTROL))[:100]), "or damaged: it has no end mark"),
    "torn gzip": (lambda: deb_of(gz(tar(("control", CONTROL)))[:-20], "control.tar.gz"), "damaged"),
    "torn xz": (lambda: deb_of(lzma.compress(tar(("control", CONTROL)))[:-20], "control.tar.xz"), "damaged"),
    "torn zstd": (lambda: deb_of(zstd.compress(tar(("control", CONTROL)))[:-3], "control.tar.zst"), "damaged"),
    "no end of archive": (
        lambda: deb_of(tar(("./control", CONTROL))[:1024]),
        "its control archive is not a tar",
    ),
    "a second xz stream": (
        lambda: deb_of(
            lzma.compress(tar(("md5sums", b"x"))) + lzma.compress(tar(("control", CONTROL))), "control.tar.xz"
        ),
        "bytes after the end of the xz stream",
    ),
}


def header(size: bytes = b"00000000000\0") -> bytes:
    """A tar header of an empty file whose size says what it is told."""
    start, end = b"./md5sums".ljust(124, b"\0") + size + b"0" * 12, b"0" + bytes(355)
    return start + b"%06o\0 " % sum(start + b" " * 8 + end) + end


@pytest.mark.parametrize("name", sorted(BAD))
def test_misleading_or_harmful_debs_are_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    build, told = BAD[name]
    assert told in refusal(tmp_path, build())


@pytest.mark.parametrize("signature", [(), (("_gpgorigin", b"odd"),)], ids=["plain", "signed"])
def test_a_package_that_is_cut_off_anywhere_is_refused(
    tmp_path: Path, signature: tuple[tuple[str, bytes], ...]
) -> None:
    control = ("control.tar.gz", gz(tar(("./control", CONTROL))))
    parts = (DEBIAN_BINARY, control, ("data.tar.gz", gz(tar(("./x", b"x")))), *signature)
    whole = ar(*parts)
    assert read(tmp_path, whole).startswith(CONTROL)
    # Without its signatures it is a whole package again.
    members = {len(ar(*parts[:count])) for count in range(3, len(parts))}
    for end in set(range(len(whole))) - members:
        assert refusal(tmp_path, whole[:end])


def test_only_headers_and_the_control_archive_are_read(tmp_path: Path) -> None:
    size = 4 << 30
    data = ar(*MEMBERS[:2]) + f"{'data.tar.xz':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{size:<10}`\n".encode()
    path = tmp_path / "x.deb"
    with path.open("wb") as file:
        file.write(data)
        file.truncate(len(data) + size)
    started = time.thread_time()
    assert read_control(path) == CONTROL
    assert time.thread_time() - started < 0.5


def dpkg_deb_refuses(path: Path) -> bool:
    """Whether dpkg can't take the package apart; whether its archives unpack is another question."""
    return any(
        subprocess.run(["dpkg-deb", *way, str(path)], capture_output=True, check=False).returncode
        for way in (("--field",), ("--ctrl-tarfile",), ("--fsys-tarfile",))
    )


def test_apt_would_read_another_control_file_behind_a_name_of_bsds_ar(tmp_path: Path) -> None:
    members = (DEBIAN_BINARY, ("control.tar.gz", gz(MEMBERS[1][1])), DATA)
    (tmp_path / "x.deb").write_bytes(ar(*members, BSD_CONTROL))
    listed = subprocess.run(["apt-ftparchive", "packages", str(tmp_path)], capture_output=True, check=True).stdout
    assert b"Package: other" in listed
    shown = subprocess.run(["dpkg-deb", "--field", str(tmp_path / "x.deb"), "Package"], capture_output=True, check=True)
    assert shown.stdout == b"x\n"


_PIECES = st.sampled_from(
    [
        DEBIAN_BINARY,
        ("debian-binary", b"2.1\nx\n"),
        ("debian-binary", b"2.0"),
        MEMBERS[1],
        ("control.tar.gz", gz(MEMBERS[1][1])),
        ("control.tar.foo", MEMBERS[1][1]),
        DATA,
        ("data.tar.gz", gz(DATA[1])),
        ("data.tar.foo", DATA[1]),
        ("_gpgorigin", b"odd"),
        ("other", b"x"),
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.lists(_PIECES, max_size=5), st.lists(_PIECES, max_size=3).map(lambda more: [*MEMBERS, *more])),
    st.one_of(st.just(0), st.integers(-80, 80)),
)
@example([DEBIAN_BINARY, ("_gpg", b"x"), *MEMBERS[1:]], 0)
def test_shapes_that_dpkg_refuses_are_refused(tmp_path: Path, chunks: list[tuple[str, bytes]], more: int) -> None:
    data = ar(*chunks)
    path = tmp_path / "x.deb"
    path.write_bytes(data[:more] if more < 0 else data + b"\n" * more)
    try:
        read_control(path)
    except Refused:
        names = [name for name, _ in chunks]
        beyond = sum(name.startswith(("control.tar", "data.tar")) for name in names) > 2
        # dpkg looks no further than to the data archive; apart from that, it is never stricter than we need to be.
        assert more or beyond or dpkg_deb_refuses(path)
        return
    assert not dpkg_deb_refuses(path)


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gz,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}

_SEEDS = [build_deb(Deb("x", "1", "amd64", compression=compression)) for compression in ("none", "gz", "xz", "zst")] + [
    deb_of(tar(("./control", CONTROL)))
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A package with bytes changed, put in, left out, or parts of another."""
    data = bytearray(draw(st.sampled_from(_SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        # The beginning is where the structure is.
        at = draw(st.integers(0, min(len(data), 1600)))
        match draw(st.sampled_from(["flip", "cut", "insert", "remove", "copy"])):
            case "flip":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=20))
            case "remove":
                del data[at : at + draw(st.integers(1, 600))]
            case "copy":
                other = draw(st.sampled_from(_SEEDS))
                start = draw(st.integers(0, 1600))
                data[at:at] = other[start : start + draw(st.integers(1, 1200))]
    return bytes(data)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(mutated(), st.binary(max_size=300), st.binary(max_size=300).map(lambda data: b"!<arch>\n" + data)))
@example(b"!<arch>\n" + b"\xff" * 60)
def test_any_file_gives_a_fragment_or_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(data)
    try:
        fragment = read_fragment(path)
    except Refused as refused:
        assert str(refused).isprintable()
        return
    assert isinstance(fragment, Fragment)
    assert fragment.body.startswith(b"Package: ")
    assert b"\n\n" not in fragment.body


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=1500), st.sampled_from(["", ".gz", ".xz", ".zst"]))
def test_any_control_archive_gives_a_fragment_or_is_refused(tmp_path: Path, archive: bytes, coding: str) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(deb_of(_COMPRESS[coding](archive), f"control.tar{coding}"))
    with pytest.raises(Refused):
        read_fragment(path)
