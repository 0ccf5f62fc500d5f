"""Metadata of Python packages: what can be used is read, the rest refused with the reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_core.errors import Refused
from packrat_core.packages.python.metadata import read_metadata


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
        # To pip, this is a project called `other`.
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


@given(st.binary(max_size=300))
def test_any_metadata_is_read_or_refused(content: bytes) -> None:
    try:
        core = read_metadata(b"Name: a\nVersion: 1\n" + content)
    except Refused:
        return
    assert core.requires_python.isprintable()
