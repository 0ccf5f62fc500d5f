"""A wheel is refused where pip would end with it, whatever its METADATA says; pip's own installer is the judge."""

import io
import re
import subprocess
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_core.archives.zip_archive import ZipArchive
from packrat_core.errors import Refused
from packrat_core.packages.python import wheel
from packrat_core.packages.python.inspect import read_distribution
from packrat_core.packages.python.wheel import read_wheel_file
from packrat_demo.build_wheel import pack_zip

_PIP = Path(__file__).parents[4] / ".cache/clients/bin/python"
_PIP_INSTALLS = """
import sys, tempfile
from pip._internal.models.scheme import SCHEME_KEYS, Scheme
from pip._internal.operations.install.wheel import install_wheel
for path in sys.argv[1:]:
    with tempfile.TemporaryDirectory() as place:
        scheme = Scheme(**{key: f"{place}/{key}" for key in SCHEME_KEYS})
        try:
            install_wheel("tool", path, scheme, "tool", pycompile=False, warn_script_location=False)
        except Exception:
            print("refused")
        else:
            print("installed")
"""
_INFO = "tool-1.0.dist-info"
_WHEEL = b"Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n"

_SCRIPTS = f"{_INFO}/entry_points.txt"
_RECORD = f"{_INFO}/RECORD"


def _script(line: str, group: str = "console_scripts") -> dict[str, bytes]:
    return {_SCRIPTS: f"[{group}]\n{line}\n".encode()}


SOUND: dict[str, dict[str, bytes]] = {
    "usual": {},
    "a later minor version": {f"{_INFO}/WHEEL": b"Wheel-Version: 1.9\n"},
    "a version alone": {f"{_INFO}/WHEEL": b"wheel-version:1\r\n"},
    "a version of many digits": {f"{_INFO}/WHEEL": b"Wheel-Version: 1." + b"9" * 30},
    "an early version": {f"{_INFO}/WHEEL": b"Wheel-Version: 0.1\n"},
    "a vendored one": {"tool/_vendor/x-1.dist-info/METADATA": b"Name: x\n"},
    "one column": {_RECORD: b"tool.py\n"},
    "four columns": {_RECORD: b"tool.py,sha256=x,4,more\r\n"},
    "blanks": {_RECORD: b"tool.py,,\n   \n"},
    "an open quote": {_RECORD: b'"tool.py,,\n\n'},
    "a wrong digest": {_RECORD: b"tool.py,sha256=AAAA,many\n/etc/passwd,,\n"},
    "a long table": {_RECORD: (("é" * 100 + "\u2028,,\r\n") * 2000).encode() + b"end,,"},
    "a script": _script("tool = tool:main.run [extra, x]"),
    "a window": _script("tool=tool:main", "gui_scripts"),
    "a script in a directory": _script("a/b = tool:main"),
    "a script with blanks": _script("a b = tool:main behind it"),
    "one more try": _script("tool = tool\ntool = tool:main"),
    "comments and empty lines": _script("# no entry\n\ntool = tool:main\n \n#=\n[gui_scripts]\n\n# a = b"),
    "a script with the longest name": _script("é" * 127 + "x = tool:main"),
    "another group": _script("x = !!! no", "plugins"),
    "lines above all groups": {_SCRIPTS: b"no entry\n# [a]\n\n[console_scripts\ntool = tool\n"},
    "no script": {_SCRIPTS: b""},
    "a file with a name just short enough": {"tool/" + "é" * 127 + "x/" + "y" * 255: b""},
    "placed files": {"tool-1.0.data/scripts/x": b"", "tool-1.0.data/data/etc/x": b"", "other-1.data/purelib/x.py": b""},
}
BROKEN: dict[str, tuple[Mapping[str, bytes | None], str]] = {
    "a second directory": ({"other-2.dist-info/top_level.txt": b""}, "second .dist-info directory, 'other-2.dist"),
    "a file called like one": ({"x.dist-info": b""}, "second .dist-info directory"),
    "another version": ({f"{_INFO}/WHEEL": b"Wheel-Version: 2.0\n"}, "the Wheel-Version '2.0'"),
    "no version": ({f"{_INFO}/WHEEL": b"Tag: py3-none-any\n"}, "no Wheel-Version"),
    "a word for a version": ({f"{_INFO}/WHEEL": b"Wheel-Version: new\n"}, "the Wheel-Version 'new'"),
    "a version that goes on": ({f"{_INFO}/WHEEL": b"Wheel-Version: 1.0\n .x\n"}, "the Wheel-Version '1.0"),
    "an empty one": ({f"{_INFO}/WHEEL": b""}, "no Wheel-Version"),
    "a byte order mark": ({f"{_INFO}/WHEEL": b"\xef\xbb\xbf" + _WHEEL}, "no Wheel-Version"),
    "latin-1": ({f"{_INFO}/WHEEL": _WHEEL.replace(b"test", b"caf\xe9")}, "WHEEL is not UTF-8"),
    "no WHEEL": ({f"{_INFO}/WHEEL": None}, "has no WHEEL"),
    "no RECORD": ({_RECORD: None}, "has no RECORD"),
    "an empty line": ({_RECORD: b"tool.py,,\n\nx,,\n"}, "RECORD has an empty line"),
    "an empty line far down": ({_RECORD: (b"x" * 200 + b",,\r\n") * 2000 + b"\r\n"}, "RECORD has an empty line"),
    "a record in latin-1": ({_RECORD: b"caf\xe9,,\n"}, "RECORD is not UTF-8"),
    "a record that is torn": ({_RECORD: b"caf\xc3"}, "RECORD is not UTF-8"),
    "an endless field": ({_RECORD: b"x" * 140000}, "RECORD is not a table"),
    "no equals sign": (_script("tool: tool:main"), "line without '='"),
    "none in another group": (_script("x", "plugins"), "line without '='"),
    "a folded line": (_script("tool = tool:main\n  more"), "line without '='"),
    "no callable": (_script("tool = tool"), "names no callable"),
    "no window": (_script("tool = tool", "gui_scripts"), "names no callable"),
    "no value": (_script("tool ="), "names no callable"),
    "too many colons": (_script("tool = a:b:c"), "names no callable"),
    "a statement": (_script("tool = os; import x:main"), "names no callable"),
    "an open bracket": (_script("tool = tool:main [x"), "brackets that hold no extras"),
    "scripts in latin-1": ({_SCRIPTS: b"[console_scripts]\ncaf\xe9 = tool:main\n"}, "entry_points.txt is not UTF-8"),
    "a directory": (_script(". = tool:main"), "outside the directory of scripts"),
    "the one above": (_script("../../tool = tool:main"), "outside the directory of scripts"),
    "an absolute path": (_script("/tool = tool:main"), "outside the directory of scripts"),
    "a long name": (_script("é" * 128 + " = tool:main"), "a name of more than 255 bytes"),
    "an unknown place": ({"tool-1.0.data/nonsense/x": b""}, "a .data directory has only"),
    "a file without a place": ({"tool-1.0.data/x": b""}, "a .data directory has only"),
    "a file like such a directory": ({"other.data": b""}, "a .data directory has only"),
    "a file with a long name": ({"tool/" + "é" * 128: b""}, "a name of more than 255 bytes"),
    "a file on the way": ({"tool/a": b"", "tool/a/b/c": b""}, "'tool/a' has the place of a directory"),
    "METADATA on the way": ({f"{_INFO}/METADATA/x": b""}, "METADATA' has the place of a directory"),
}


def _write(directory: Path, changes: Mapping[str, bytes | None]) -> Path:
    files: dict[str, bytes | None] = {
        f"{_INFO}/METADATA": b"Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n",
        f"{_INFO}/WHEEL": _WHEEL,
        _RECORD: b"tool.py,,\n",
        **changes,
    }
    path = directory / f"{len(list(directory.iterdir()))}.whl"
    path.write_bytes(pack_zip([(name, data) for name, data in files.items() if data is not None]))
    return path


def test_a_wheel_is_refused_where_pip_ends_with_it(tmp_path: Path) -> None:
    sound = [_write(tmp_path, changes) for changes in SOUND.values()]
    broken = [_write(tmp_path, changes) for changes, _ in BROKEN.values()]
    said = subprocess.run(
        [_PIP, "-c", _PIP_INSTALLS, *sound, *broken], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert dict(zip([*SOUND, *BROKEN], said, strict=True)) == (
        dict.fromkeys(SOUND, "installed") | dict.fromkeys(BROKEN, "refused")
    )
    for path in sound:
        assert read_distribution(path).core.name == "tool"
    for path, (_, reason) in zip(broken, BROKEN.values(), strict=True):
        with pytest.raises(Refused, match=re.escape(reason)):
            read_distribution(path)


@given(st.text(".01x \t\r\n\f:", max_size=12))
def test_the_quick_reader_agrees_with_the_parser(end: str) -> None:
    text = f"Wheel-Version: 1{end}"
    files = {"WHEEL": text, "RECORD": ""}
    archive = ZipArchive(io.BytesIO(pack_zip([(f"{_INFO}/{name}", data.encode()) for name, data in files.items()])))
    if _knows(str(HeaderParser().parsestr(text)["Wheel-Version"])):
        assert read_wheel_file(archive, _INFO) == text
    else:
        with pytest.raises(Refused, match="Wheel-Version"):
            read_wheel_file(archive, _INFO)


def _knows(version: str) -> bool:
    """Whether pip takes a wheel of that version."""
    try:
        major, *_ = [int(part) for part in version.split(".")]
    except ValueError:
        return False
    return major <= 1


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(["a,b", ",", " ", '"', "\n", "\n", "\r", "\r\n", "\0", "\x0b", "\t", "é", "\u2028"])).map(
        "".join
    )
)
@example("a,,\n\n")
@example("a,,\rb")
def test_a_table_without_quotes_is_read_as_the_reader_of_tables_reads_it(record: str) -> None:
    files = {"WHEEL": _WHEEL, "RECORD": record.encode()}
    archive = ZipArchive(io.BytesIO(pack_zip([(f"{_INFO}/{name}", data) for name, data in files.items()])))
    found = _outcome(archive)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheel, "_USUAL_RECORD", re.compile(rb"(?!)"))
        assert found == _outcome(archive)


def _outcome(archive: ZipArchive) -> str:
    try:
        return read_wheel_file(archive, _INFO)
    except Refused as refused:
        return str(refused)


def test_the_name_follows_from_a_wheel_file_of_any_length(tmp_path: Path) -> None:
    for more in (0, 3000):
        text = _WHEEL.replace(b"Tag:", b"Build: 7\nTag:") + b"X: y\n" * more
        assert read_distribution(_write(tmp_path, {f"{_INFO}/WHEEL": text})).file_name == "tool-1.0-7-py3-none-any.whl"


def test_a_row_of_a_record_is_bounded(tmp_path: Path) -> None:
    # Quotes that stay open join the lines of a row, which would be held in memory whole.
    for record in (b'"' + b'\n","' * 400_000, b"x," * 600_000, b"x," * 600_000 + b"\n"):
        with pytest.raises(Refused, match="a row of more than"):
            read_distribution(_write(tmp_path, {_RECORD: record}))
