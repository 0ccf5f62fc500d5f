"""The control file as it gets into Packages: kept byte by byte, or refused where it could mislead a client."""

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_core.errors import Refused
from packrat_core.packages.deb.relations import STANZA_LIMIT
from packrat_core.packages.deb.stanza import CONTROL_FILE_LIMIT, _split_any, _split_usual, read_stanza
from packrat_core.packages.facts import PackageFacts

START = b"Package: x\nVersion: 1\nArchitecture: amd64\n"


def test_bytes_are_kept_and_package_comes_first() -> None:
    stanza = read_stanza(
        b"\n\nArchitecture: arm64\nX-Odd!Name:  two  spaces \nVersion:1:2.0~rc1+b1-3\n"
        b"Description: Bj\xf6rn (latin-1)\n first\n .\n\tafter a tab\n \xff\xfe\n"
        b"package: \tg++\r\nMaintainer: B\xc3\xb6rn\n\n"
    )
    assert stanza.facts == PackageFacts("g++", "1:2.0~rc1+b1-3", "arm64")
    assert stanza.body == (
        b"Package: g++\nArchitecture: arm64\nX-Odd!Name:  two  spaces \nVersion: 1:2.0~rc1+b1-3\n"
        b"Description: Bj\xf6rn (latin-1)\n first\n .\n\tafter a tab\n \xff\xfe\n"
        b"Maintainer: B\xc3\xb6rn\n"
    )


def test_fields_that_the_index_says_itself_are_dropped() -> None:
    inside = b"".join(
        name + b": of the packager\n more\n"
        for name in (b"Filename", b"SIZE", b"MD5sum", b"SHA1", b"SHA256", b"SHA512")
    )
    assert read_stanza(START + inside + b"Section: misc\n").body == START + b"Section: misc\n"


def test_lines_may_end_as_on_windows() -> None:
    control = START + b"Description: a\n b\n .\n c\n"
    assert read_stanza(control.replace(b"\n", b"\r\n")) == read_stanza(control)


def test_fields_that_identify_the_file_have_their_usual_case() -> None:
    assert read_stanza(b"VERSION:1\npackage:x\nARCHITECTURE:  amd64 \n").body == (
        b"Package: x\nVersion: 1\nArchitecture: amd64\n"
    )


BAD = {
    "a second paragraph": (START + b"\nPackage: y\nVersion: 2\nArchitecture: all\n", "a second paragraph"),
    "a line of spaces": (START + b"  \nPackage: y\n", "an empty line"),
    "a line of a tab": (START + b"Description: a\n\t\n b\n", "an empty line"),
    "a line of a carriage return": (START + b"\r\nPackage: y\n", "an empty line"),
    "a line of a form feed": (START + b" \f\v\nPackage: y\n", "an empty line"),
    "a NUL": (START + b"Section: a\0b\n", "a NUL byte"),
    "a field twice": (START + b"Depends: a\nDepends: b\n", "the field Depends twice"),
    "a field twice, in other letters": (START + b"pAckage: y\n", "the field pAckage twice"),
    "no package": (START.replace(b"Package: x\n", b""), "no Package"),
    "no version": (START.replace(b"Version: 1\n", b""), "no Version"),
    "no architecture": (START.replace(b"Architecture: amd64\n", b""), "no Architecture"),
    "nothing": (b"", "its control file has"),
    "an empty architecture": (START.replace(b"amd64", b""), "an unusable Architecture: b''"),
    "two architectures": (START.replace(b"amd64", b"amd64 arm64"), "an unusable Architecture"),
    "an architecture that is a path": (START.replace(b"amd64", b"../../x"), "an unusable Architecture"),
    "a package that is a path": (START.replace(b"x", b"../x", 1), "an unusable Package"),
    "a package over two lines": (START.replace(b"x\n", b"x\n y\n", 1), "an unusable Package"),
    "a version with a slash": (START.replace(b"1", b"1/2", 1), "an unusable Version"),
    "a version that is not ASCII": (START.replace(b"1", "１".encode(), 1), "an unusable Version"),
    "a continuation line at first": (b" x\n" + START, "begins with a continuation line"),
    "no colon": (START + b"Depends a\n", "a line that is not a field: b'Depends a'"),
    "a comment": (START + b"# Depends: a\n", "a line that is not a field"),
    "a space in a field's name": (START + b"De pends: a\n", "a line that is not a field"),
    "a signature around it": (b"-----BEGIN PGP SIGNED MESSAGE-----\n" + START, "a line that is not a field"),
    "a byte order mark": (b"\xef\xbb\xbf" + START, "a line that is not a field"),
    "more than any package has": (START + b"Provides: " + b"a" * CONTROL_FILE_LIMIT + b"\n", "the limit is 4194304"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_misleading_stanzas_are_refused_with_the_reason(name: str) -> None:
    control, told = BAD[name]
    with pytest.raises(Refused) as caught:
        read_stanza(control)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 300


def is_version(version: str) -> bool:
    """Whether a package of this version is taken."""
    try:
        read_stanza(START.replace(b"1", version.encode(), 1))
    except Refused as refused:
        assert "an unusable Version" in str(refused)
        return False
    return True


VERSIONS = st.lists(st.sampled_from(["0", "1", "a", "v", ".", "+", "~", "-", "-", ":", "_", "12"]), max_size=7).map(
    "".join
)


@settings(max_examples=300, deadline=None)
@given(VERSIONS)
@example("v1.0")
@example("1.0-")
@example("1--1")
@example("1:2:3-4")
@example("1-1:2")
@example("1:")
@example("999999999:1")
@example("2147483648:1")
def test_a_version_is_one_to_dpkg(version: str) -> None:
    command = ["dpkg", "--validate-version", version]
    by_dpkg = subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    assert is_version(version) is by_dpkg


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["-", "-a", "a", ":", "1"])
def test_a_long_version_costs_no_more_than_its_length(unit: str) -> None:
    assert not is_version("1:1" + unit * 1_000_000 + "_")


@pytest.mark.timeout(60)
def test_many_lines_cost_no_more_than_their_number() -> None:
    lines = b" a\n" * ((STANZA_LIMIT - 1000) // 3)
    stanza = read_stanza(START + b"Description: many\n" + lines)
    assert stanza.body.endswith(lines)


@pytest.mark.timeout(60)
def test_a_long_line_without_a_colon_costs_no_more_than_its_length() -> None:
    for lines in (b"a" * 4_000_000, b"Description: many\n a\n" + b"a" * 3_000_000):
        with pytest.raises(Refused, match="a line that is not a field"):
            read_stanza(START + lines)


_names = st.sampled_from([b"Package", b"package", b"Version", b"Architecture", b"Depends", b"Size", b"SHA256", b"X-a"])
_values = st.one_of(
    st.sampled_from([b"x", b"1", b"amd64", b"all", b"a\n b", b"a\n\tb", b"\r", b""]), st.binary(max_size=8)
)
_fields = st.tuples(_names, st.sampled_from([b": ", b":", b" : ", b":\t", b""]), _values).map(b"".join)
_lines = st.one_of(_fields, _fields, _fields, st.binary(max_size=6), st.sampled_from([b" ", b" x", b"\t.", b""]))


@settings(max_examples=1000, deadline=None)
@given(st.lists(_lines, max_size=8).map(b"\n".join), st.booleans())
@example(b"", True)
def test_any_control_file_gives_one_stanza_or_is_refused(control: bytes, completed: bool) -> None:
    if completed:
        control = START + control
    try:
        stanza = read_stanza(control)
    except Refused as refused:
        assert str(refused).isprintable()
        return
    assert stanza.body.startswith(b"Package: ")
    assert stanza.body.endswith(b"\n")
    lines = stanza.body.removesuffix(b"\n").split(b"\n")
    assert all(line.strip() for line in lines)
    names = [line.partition(b":")[0].lower() for line in lines if line[:1] not in (b" ", b"\t")]
    assert len(names) == len(set(names))
    assert {b"package", b"version", b"architecture"} <= set(names)
    assert not set(names) & {b"filename", b"size", b"sha256"}
    identity = {line for line in lines if line.startswith((b"Package: ", b"Version: ", b"Architecture: "))}
    assert len(identity) == 3
    assert set(lines) - identity <= {line.rstrip(b"\r") for line in control.split(b"\n")}
    # Cleaning what is clean changes nothing.
    assert read_stanza(stanza.body) == stanza


_PARTS = st.sampled_from(
    [
        b"Package",
        b"package",
        b"X-1",
        b"1x",
        b"#",
        b":",
        b" ",
        b"\t",
        b"\r",
        b"\f",
        b"\v",
        b"\n",
        b"\n ",
        b"\n.",
        b"x\xff",
    ]
)


@settings(max_examples=1000, deadline=None)
@given(st.one_of(st.lists(_lines, max_size=8).map(b"\n".join), st.lists(_PARTS, max_size=12).map(b"".join)))
@example(b"Package:\n \n")
@example(b"Package: x\r")
def test_the_quick_way_to_split_gives_what_the_long_one_gives(text: bytes) -> None:
    text = text.strip(b"\n") + b"\n"
    found = _split_usual(text)
    if found:
        assert list(found.items()) == list(_split_any(text).items())


def test_usual_control_files_are_split_the_quick_way() -> None:
    assert _split_usual(START + b"Description: a\n b\n .\n\tc\nX-Y:\n \xff\n")
