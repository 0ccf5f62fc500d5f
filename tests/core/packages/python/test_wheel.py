"""A wheel is refused where pip would end with it, whatever its METADATA says; pip's own reader is the judge."""

import io
import re
import subprocess
from email.parser import HeaderParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_core.archives.zip_archive import ZipArchive
from packrat_core.errors import Refused
from packrat_core.packages.python.inspect import read_distribution
from packrat_core.packages.python.wheel import read_wheel_file
from packrat_demo.build_wheel import pack_zip

_PIP = Path(__file__).parents[4] / ".cache/clients/bin/python"
_PIP_READS = """
import sys, zipfile
from pip._internal.utils.wheel import parse_wheel
for path in sys.argv[1:]:
    try:
        parse_wheel(zipfile.ZipFile(path), "tool")
    except Exception:
        print("refused")
    else:
        print("read")
"""
_INFO = "tool-1.0.dist-info"
_WHEEL = b"Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n"

SOUND = {
    "usual": {},
    "a later minor version": {f"{_INFO}/WHEEL": b"Wheel-Version: 1.9\n"},
    "a version alone": {f"{_INFO}/WHEEL": b"wheel-version:1\r\n"},
    "a vendored one": {"tool/_vendor/x-1.dist-info/METADATA": b"Name: x\n"},
}
BROKEN = {
    "a second directory": ({"other-2.dist-info/top_level.txt": b""}, "second .dist-info directory, 'other-2.dist"),
    "a file called like one": ({"x.dist-info": b""}, "second .dist-info directory"),
    "another version": ({f"{_INFO}/WHEEL": b"Wheel-Version: 2.0\n"}, "the Wheel-Version '2.0'"),
    "no version": ({f"{_INFO}/WHEEL": b"Tag: py3-none-any\n"}, "no Wheel-Version"),
    "a word for a version": ({f"{_INFO}/WHEEL": b"Wheel-Version: new\n"}, "the Wheel-Version 'new'"),
    "a version that goes on": ({f"{_INFO}/WHEEL": b"Wheel-Version: 1.0\n .x\n"}, "the Wheel-Version '1.0"),
    "an empty one": ({f"{_INFO}/WHEEL": b""}, "no Wheel-Version"),
    "a byte order mark": ({f"{_INFO}/WHEEL": b"\xef\xbb\xbf" + _WHEEL}, "no Wheel-Version"),
    "latin-1": ({f"{_INFO}/WHEEL": _WHEEL.replace(b"test", b"caf\xe9")}, "WHEEL is not UTF-8"),
}


def _write(directory: Path, changes: dict[str, bytes]) -> Path:
    files = {f"{_INFO}/METADATA": b"Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n", f"{_INFO}/WHEEL": _WHEEL}
    path = directory / f"{len(list(directory.iterdir()))}.whl"
    path.write_bytes(pack_zip(list({**files, **changes}.items())))
    return path


def test_a_wheel_is_refused_where_pip_ends_with_it(tmp_path: Path) -> None:
    sound = [_write(tmp_path, changes) for changes in SOUND.values()]
    broken = [_write(tmp_path, changes) for changes, _ in BROKEN.values()]
    said = subprocess.run(
        [_PIP, "-c", _PIP_READS, *sound, *broken], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert said == ["read"] * len(sound) + ["refused"] * len(broken)
    for path in sound:
        assert read_distribution(path).core.name == "tool"
    for path, (_, reason) in zip(broken, BROKEN.values(), strict=True):
        with pytest.raises(Refused, match=reason):
            read_distribution(path)


@given(st.text(".01x \t\r\n\f:", max_size=12))
def test_what_is_read_quickly_is_what_the_parser_reads(end: str) -> None:
    text = f"Wheel-Version: 1{end}"
    version = str(HeaderParser().parsestr(text)["Wheel-Version"]).strip()
    archive = ZipArchive(io.BytesIO(pack_zip([(f"{_INFO}/WHEEL", text.encode())])))
    if re.fullmatch(r"1(\.[0-9]{1,9})*", version):
        assert read_wheel_file(archive, _INFO) == text
    else:
        with pytest.raises(Refused, match="Wheel-Version"):
            read_wheel_file(archive, _INFO)
