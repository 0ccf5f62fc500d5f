"""Metadata of Python packages: what can be used is read, the rest refused with the reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_core.errors import Refused
from packrat_core.packages.python.metadata import read_metadata, read_version


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Version: 1\n", "no Name"),
        (b"Name: a\n\nVersion: 1\n", "no Version"),
        (b"Name: a\nName: b\nVersion: 1\n", "Name twice"),
        (b"Name: a/../b\nVersion: 1\n", "unusable Name"),
        (b"Name: \xff\nVersion: 1\n", "not UTF-8"),
        (b"Name: a\nVersion: one\n", "not a version by PEP 440"),
        (b"Name: a\nVersion: 1" + b"0" * 5000 + b"\n", "unusable Version"),
        (b"Name: a\nVersion: 1\nRequires-Python: >=3\x00\n", "unusable Requires-Python"),
        (b"Name: a\nVersion: 1\nRequires-Python: >=3\n" + b" x\n" * 1_000_000, "Requires-Python of too many lines"),
        (b"Name: a\n b\nVersion: 1\n", "a Name that is folded, which pip can't read"),
        (b"Name: a\nVersion: 1\n .0\n", "a Version that is folded, which pip can't read"),
        # pip takes this for a project called `other`.
        (b"Summary: a\rName: other\nName: a\nVersion: 1\n", "Name twice"),
    ],
)
def test_unusable_metadata_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read_metadata(content)


def test_odd_but_usable_metadata_is_read() -> None:
    core = read_metadata(
        b"\xef\xbb\xbfname: a.B\r\nClassifier: x\r\nClassifier: y\r\nLICENSE: x\r\n\tName: no\r\n"
        b"Version: 1.0RC1\r\nRequires-Python: >=3,\r\n <4"
    )
    assert (core.name, core.version, core.requires_python) == ("a.B", "1.0RC1", ">=3, <4")


@pytest.mark.parametrize(
    ("field", "longest"),
    [("Name", "a" * 200), ("Version", "1." + "0" * 98), ("Requires-Python", ">=3" + "0" * 997)],
)
def test_the_longest_values_are_read_and_no_longer_ones(field: str, longest: str) -> None:
    fields = {"Name": "a", "Version": "1"}
    for value, is_read in ((longest, True), (f"{longest}0", False)):
        content = "".join(f"{name}: {text}\n" for name, text in (fields | {field: value}).items()).encode()
        if is_read:
            core = read_metadata(content)
            assert value in (core.name, core.version, core.requires_python)
        else:
            with pytest.raises(Refused, match=f"an unusable {field}"):
                read_metadata(content)


def test_a_version_of_any_origin_has_the_same_limit() -> None:
    assert str(read_version("1" * 100, "its file name")) == "1" * 100
    with pytest.raises(Refused, match=r"its file name has version '1+', which is not a version by PEP 440"):
        read_version("1" * 101, "its file name")


@given(st.binary(max_size=300))
def test_any_metadata_is_read_or_refused(content: bytes) -> None:
    try:
        core = read_metadata(b"Name: a\nVersion: 1\n" + content)
    except Refused:
        return
    assert core.requires_python.isprintable()
