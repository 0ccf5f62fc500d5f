"""A wheel is refused where pip or uv would end at metadata that it puts beside the installed projects; they judge."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.python.inspect import read_distribution
from packrat_demo.build_wheel import pack_zip
from support.python_clients import CLIENTS

_CLIENTS_READ = """
import subprocess, sys
from pip._internal.metadata import get_environment
from pip._internal.models.scheme import SCHEME_KEYS, Scheme
from pip._internal.operations.install.wheel import install_wheel
uv, *paths = sys.argv[1:]
for path in paths:
    data = f"{path}.installed"
    place = f"{data}/lib/python3.99/site-packages"
    scheme = Scheme(**{key: place if key.endswith("lib") else f"{data}-{key}" for key in SCHEME_KEYS} | {"data": data})
    install_wheel("tool", path, scheme, "tool", pycompile=False, warn_script_location=False)
    try:
        [each.version for each in get_environment([place]).iter_all_distributions()]
        pip_ends = False
    except Exception:
        pip_ends = True
    listed = [uv, "--no-config", "--no-cache", "pip", "list", "--python", sys.executable, "--target", place]
    print("ends" if pip_ends or subprocess.run(listed, capture_output=True).returncode else "read")
"""
_GOOD = b"Metadata-Version: 2.1\nName: junk\nVersion: 1.0\n"
_BAD = _GOOD.replace(b"1.0\n", b"foo\n")
_NONE = b"Metadata-Version: 2.1\nName: junk\n"
_DATA = "tool-1.0.data/data"
_SITE = f"{_DATA}/lib/python3.99/site-packages"
_PURE, _PLAT = "tool-1.0.data/purelib", "tool-1.0.data/platlib"

SOUND: dict[str, Mapping[str, bytes]] = {
    "a directory": {"junk.egg-info/PKG-INFO": _GOOD},
    "a file": {"junk.egg-info": _GOOD},
    "versions in the name": {"junk-1.0.egg-info/PKG-INFO": _GOOD, f"{_PURE}/other-1-py3.12.egg-info": _GOOD},
    "no name": {"junk.egg-info/PKG-INFO": _GOOD.replace(b"Name: junk\n", b"")},
    "two versions": {"junk.egg-info/PKG-INFO": _GOOD + b"Version: foo\n"},
    "a folded version": {"junk.egg-info/PKG-INFO": _GOOD.replace(b"1.0\n", b"\n 1.0\n")},
    "METADATA": {f"{_PLAT}/junk.egg-info/METADATA": _GOOD},
    "below a package": {"tool/junk-foo.egg-info/PKG-INFO": _BAD, f"{_PURE}/tool/junk.egg-info": _BAD},
    "elsewhere": {"tool-1.0.data/data/junk-foo.egg-info": _BAD, "tool-1.0.data/scripts/junk.egg-info": _BAD},
    "versions of a .dist-info": {f"{_PURE}/junk-1.0.dist-info/METADATA": _BAD, f"{_PLAT}/b-1.0-1.dist-info/x": b""},
    "a .dist-info without a dash": {f"{_PURE}/junk.dist-info/METADATA": _GOOD, f"{_PLAT}/other.dist-info/x": b""},
    "an empty directory": {"junk.egg-info/": b""},
    "capital letters": {"JUNK-1.0.Egg-Info/PKG-INFO": _GOOD, f"{_PURE}/Other.DIST-INFO/METADATA": _GOOD},
    "letters, digits, and some between them": {f"{_PURE}/A.b__C1-1.0.dist-info/METADATA": _GOOD},
    "a .dist-info without a dash that is no name": {f"{_PURE}/a b!.dist-info/METADATA": _GOOD},
    "in the directory of Python": {f"{_SITE}/junk-1.0.dist-info/METADATA": _GOOD},
    "beside the directory of Python": {f"{_DATA}/lib/python3.99/junk-foo.egg-info": _BAD},
}
BROKEN: dict[str, tuple[Mapping[str, bytes], str]] = {
    "a word in PKG-INFO": ({"junk.egg-info/PKG-INFO": _BAD}, "it puts 'junk.egg-info' beside the installed projects"),
    "a word in a file": ({"junk.egg-info": _BAD}, "the version 'foo'"),
    "no version": ({"junk.egg-info/PKG-INFO": _NONE}, "find no version"),
    "an empty file": ({f"{_PURE}/junk.egg-info": b""}, "find no version"),
    "a byte order mark": ({"junk.egg-info": b"\xef\xbb\xbf" + _GOOD}, "find no version"),
    "no PKG-INFO": ({f"{_PLAT}/junk.egg-info/SOURCES.txt": b""}, "find no PKG-INFO"),
    "latin-1": ({"junk.egg-info/PKG-INFO": _GOOD + b"Author: caf\xe9\n"}, "not UTF-8"),
    "a word in the name": ({"junk-foo.egg-info/PKG-INFO": _GOOD}, "the version 'foo'"),
    "a word in the name of a file": ({f"{_PLAT}/junk-foo-py3.12.egg-info": _GOOD}, "the version 'foo'"),
    "a dash in the name": ({f"{_PURE}/my-tool-1.0.egg-info": _GOOD}, "the version 'tool'"),
    "nothing behind the dash": ({"junk-.egg-info": _GOOD}, "the version ''"),
    "a word in PKG-INFO alone": ({"junk-1.0.egg-info/PKG-INFO": _BAD}, "the version 'foo'"),
    "its own": ({"tool-foo.egg-info/PKG-INFO": _GOOD}, "the version 'foo'"),
    "a .dist-info with a word": ({f"{_PLAT}/junk-foo.dist-info/METADATA": _GOOD}, "the version 'foo'"),
    "a .dist-info with nothing": ({f"{_PURE}/junk-.dist-info/METADATA": _GOOD}, "the version ''"),
    "a word in METADATA": ({f"{_PURE}/junk.dist-info/METADATA": _BAD}, "the version 'foo'"),
    "a word behind a name in capital letters": ({"JUNK-foo.EGG-INFO/PKG-INFO": _BAD}, "the version 'foo'"),
    "a word behind .DIST-INFO": ({"junk-foo.Dist-Info/METADATA": _BAD}, "the version 'foo'"),
    "a name that is none": ({"a b!-1.0.egg-info/PKG-INFO": _GOOD}, "clients read the name 'a b!'"),
    "such a name of a file": ({f"{_PURE}/junk_.egg-info": _GOOD}, "the name 'junk_'"),
    "such a name of a .dist-info": ({f"{_PLAT}/j\xfcnk-1.0.dist-info/METADATA": _GOOD}, "the name 'j\xfcnk'"),
    "no name at all": ({f"{_PLAT}/-1.0.dist-info/METADATA": _GOOD}, "the name ''"),
    "a word in the directory of Python": ({f"{_SITE}/junk-foo.egg-info/PKG-INFO": _GOOD}, "the version 'foo'"),
    "no version in METADATA": ({f"{_PLAT}/junk.dist-info/METADATA": _NONE}, "find no version"),
}


def _write(directory: Path, files: Mapping[str, bytes]) -> Path:
    info = "tool-1.0.dist-info"
    frame = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    path = directory / f"{len(list(directory.iterdir()))}.whl"
    path.write_bytes(pack_zip([*files.items(), *frame.items()]))
    return path


def test_a_wheel_is_refused_where_clients_end_at_what_it_places(tmp_path: Path) -> None:
    sound = [_write(tmp_path, files) for files in SOUND.values()]
    broken = [_write(tmp_path, files) for files, _ in BROKEN.values()]
    said = subprocess.run(
        [CLIENTS / "python", "-c", _CLIENTS_READ, CLIENTS / "uv", *sound, *broken],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout.split()
    assert dict(zip([*SOUND, *BROKEN], said, strict=True)) == (
        dict.fromkeys(SOUND, "read") | dict.fromkeys(BROKEN, "ends")
    )
    for path in sound:
        assert read_distribution(path).core.name == "tool"
    for path, (_, reason) in zip(broken, BROKEN.values(), strict=True):
        with pytest.raises(Refused, match=re.escape(reason)):
            read_distribution(path)


def test_metadata_that_a_build_left_of_the_project_itself_is_accepted(tmp_path: Path) -> None:
    # Not by the clients' judgment: which of the two pip reads depends on the order of the directory.
    for files in ({"Tool.egg-info/SOURCES.txt": b""}, {"tool.egg-info/PKG-INFO": _NONE}):
        assert read_distribution(_write(tmp_path, files)).core.version == "1.0"


def test_a_version_is_looked_for_at_the_beginning_alone(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="find no version"):
        read_distribution(_write(tmp_path, {"junk.egg-info": b"a: b\n" * 20_000 + _GOOD}))
