"""Readers of Python distributions read or refuse any bytes: drawn, changed and torn."""

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_core.errors import Refused
from packrat_core.packages.python.inspect import read_distribution
from packrat_demo.build_wheel import Python, build_sdist, build_sdist_zip, build_wheel

TOOL = Python("My.Tool", "1.0", ("other>=2",), ">=3.8", (("my_tool.py", b"A = 1\n" * 500),))
WHEEL, SDIST, SDIST_ZIP = build_wheel(TOOL), build_sdist(TOOL), build_sdist_zip(TOOL)


def read_or_refuse(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            read_distribution(Path(file.name))
        except Refused:
            return


@given(st.sampled_from([b"", b"PK\3\4", b"\x1f\x8b\x08"]), st.binary(max_size=2000))
def test_any_bytes_are_read_or_refused(start: bytes, data: bytes) -> None:
    read_or_refuse(start + data)


@given(st.binary(max_size=3000))
def test_any_bytes_inside_gzip_are_read_or_refused(data: bytes) -> None:
    read_or_refuse(gzip.compress(data, 1))


@settings(max_examples=300)
@given(st.sampled_from([WHEEL, SDIST_ZIP, gzip.decompress(SDIST)]), st.data())
def test_a_file_with_changed_bytes_is_read_or_refused(sound: bytes, draw: st.DataObject) -> None:
    data = bytearray(sound)
    # Zip keeps its numbers at the end, tar in the first blocks.
    places = st.one_of(st.integers(0, min(1600, len(data) - 1)), st.integers(max(0, len(data) - 400), len(data) - 1))
    for at, value in draw.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)):
        data[at] = value
    read_or_refuse(bytes(data) if sound[:2] == b"PK" else gzip.compress(bytes(data), 1))


@given(st.integers(0, len(WHEEL) - 1))
def test_a_torn_wheel_is_refused(length: int) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(WHEEL[:length])
        file.flush()
        with pytest.raises(Refused):
            read_distribution(Path(file.name))


@given(st.integers(0, len(SDIST)))
def test_a_torn_source_distribution_is_read_or_refused(length: int) -> None:
    read_or_refuse(SDIST[:length])
