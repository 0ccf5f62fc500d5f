"""Holds the rules for links and names in archives against what pip, GNU tar and dpkg-deb make of them on disk.

An archive is harmless to a client that unpacks it to just the files and links that the archive names, within the
directory that it is given. What a client refuses, we refuse; what all take harmlessly, we take.
"""

import io
import itertools
import json
import os
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.deb.control import read_control
from packrat_core.packages.python.inspect import read_distribution
from support.apt_packages import ar

_TOP = Path(__file__).parents[3]
_METADATA = b"Metadata-Version: 2.1\nName: t\nVersion: 1\n"
_CONTROL = b"Package: x\nVersion: 1\nArchitecture: amd64\n"
_LIMIT_S = 120
FILE, LINK, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
PIPE, DIR = tarfile.FIFOTYPE, tarfile.DIRTYPE

Member = tuple[str, bytes, str]
"""Name, kind, and the content of a file or the target of a link."""

MEMBERS: dict[str, list[Member]] = {
    "nothing more": [],
    "a link to a file": [("a", FILE, "x"), ("l", LINK, "a")],
    "a link to nothing": [("l", LINK, "missing")],
    "a link upwards inside": [("a", FILE, "x"), ("d/l", LINK, "../a")],
    "a link to a directory": [("d/f", FILE, "x"), ("l", LINK, "d")],
    "a hard link": [("a", FILE, "x"), ("h", HARD, "a")],
    "directories": [("d", DIR, ""), ("d/e", DIR, ""), ("d/e/f", FILE, "x")],
    "a link out": [("l", LINK, "../../x")],
    "an absolute link": [("l", LINK, "/etc/passwd")],
    "a file out": [("../../x", FILE, "x")],
    "through a link out": [("s", LINK, "../.."), ("s/x", FILE, "x")],
    "through a link inside": [("d/f", FILE, "x"), ("s", LINK, "d"), ("s/g", FILE, "y")],
    "through a link to where it is": [("s", LINK, "."), ("s/g", FILE, "y")],
    "through two links": [("s", LINK, ".."), ("s/t", LINK, ".."), ("s/t/x", FILE, "x")],
    "a link in place of a directory": [("d/f", FILE, "x"), ("d", LINK, "..")],
    "a hard link to a link": [("l", LINK, "../../x"), ("h", HARD, "l")],
    "a hard link out": [("h", HARD, "../../x")],
    "a hard link to nothing": [("h", HARD, "missing")],
    "a named pipe": [("p", PIPE, "")],
    "the longest name": [("a" * 255, FILE, "x"), ("b" * 255 + "/" + "é" * 127, FILE, "x")],
    "a longer name": [("a" * 256, FILE, "x")],
    "a longer name of a directory": [("a" * 256 + "/x", FILE, "x")],
    "a longer name in bytes": [("é" * 128, FILE, "x")],
    "a file on the way": [("a", FILE, "x"), ("a/b/c", FILE, "x")],
    "a file in place of a directory": [("a/b/c", FILE, "x"), ("a", FILE, "x")],
    "a file in place of a directory further down": [("a/b/c", FILE, "x"), ("a/b", FILE, "x")],
    "a directory twice": [("d", DIR, ""), ("d/f", FILE, "x"), ("d", DIR, "")],
    "a file twice": [("a", FILE, "x"), ("a", FILE, "x")],
    "a file whose hard link comes between": [("a", FILE, "x"), ("h", HARD, "a"), ("a", FILE, "x")],
}
STRICTER = {
    # Not every client needs it, and it stops those that read it.
    "a named pipe",
}


def archive(members: Sequence[Member], top: str) -> bytes:
    """Write a tar archive; `top` stands before the name of each member, and the target of each hard link."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as file:
        for name, kind, text in members:
            entry = tarfile.TarInfo(f"{top}{name}")
            entry.type, data = kind, text.encode() if kind == FILE else b""
            entry.size, entry.linkname = len(data), {LINK: text, HARD: f"{top}{text}"}.get(kind, "")
            entry.mode = 0o755 if kind == DIR else 0o644
            file.addfile(entry, io.BytesIO(data))
    return output.getvalue()


def is_harmless(members: Sequence[Member], place: Path) -> bool:
    """Whether a directory has what the archive names and nothing else, and nothing beside it appeared or changed."""
    files = {name: text for name, kind, text in members if kind == FILE}
    links = {name: text for name, kind, text in members if kind == LINK}
    hard = {name: files.get(text) for name, kind, text in members if kind == HARD}
    found: dict[str, str | None] = {}
    for path in place.rglob("*"):
        name = str(path.relative_to(place))
        if path.is_symlink():
            inside = os.path.normpath(path.parent / path.readlink()).startswith(f"{place}{os.sep}")
            found[name] = str(path.readlink()) if inside else None
        elif not path.is_dir():
            found[name] = path.read_text() if path.is_file() else None
    beside = [path for path in place.parent.parent.rglob("*") if path.is_file() and not path.is_relative_to(place)]
    return found == {**files, **hard, **links} and None not in found.values() and not beside


@pytest.fixture(scope="module")
def pip_takes() -> Iterator[Callable[[Path, Path], bool]]:
    command = [_TOP / ".cache/clients/bin/python", _TOP / "tests/support/pip_unpack.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def take(file: Path, place: Path) -> bool:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([str(file), str(place)]) + "\n")
            process.stdin.flush()
            return bool(json.loads(process.stdout.readline()))

        yield take
        process.kill()


def ours_takes(read: Callable[[Path], object], file: Path) -> bool:
    try:
        read(file)
    except Refused:
        return False
    return True


def ran(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True, timeout=_LIMIT_S, check=False).returncode == 0


@pytest.mark.parametrize("case", MEMBERS)
def test_a_source_distribution_is_judged_as_pip_and_tar_unpack_it(
    tmp_path: Path, pip_takes: Callable[[Path, Path], bool], case: str
) -> None:
    members = [("PKG-INFO", FILE, _METADATA.decode()), *MEMBERS[case]]
    file = tmp_path / "t-1.tar.gz"
    file.write_bytes(zlib.compress(archive(members, "t-1/"), wbits=31))
    by_pip, by_tar = tmp_path / "pip/in/place", tmp_path / "tar/in/place"
    by_tar.mkdir(parents=True)
    # pip leaves the top directory out, tar is told to.
    clients = [
        pip_takes(file, by_pip) and is_harmless(members, by_pip),
        ran("tar", "-xzf", file, "-C", by_tar, "--strip-components=1") and is_harmless(members, by_tar),
    ]
    assert ours_takes(read_distribution, file) == (all(clients) and case not in STRICTER)


@pytest.mark.parametrize("case", MEMBERS)
def test_a_control_archive_is_judged_as_dpkg_unpacks_it(tmp_path: Path, case: str) -> None:
    members = [("control", FILE, _CONTROL.decode()), *MEMBERS[case]]
    file = tmp_path / "x.deb"
    control = ("control.tar", archive(members, "./"))
    file.write_bytes(ar(("debian-binary", b"2.0\n"), control, ("data.tar", archive([], "./"))))
    place = tmp_path / "dpkg/in/place"
    place.mkdir(parents=True)
    taken = ran("dpkg-deb", "--control", file, place) and is_harmless(members, place)
    assert ours_takes(read_control, file) == (taken and case not in STRICTER)


@pytest.mark.parametrize(
    ("other", "content", "is_taken"),
    [
        ("t-1.dist-info/top_level.txt", b"t", True),
        ("t-1.dist-info/licenses/LICENSE", b"x", True),
        ("t-1.dist-info/METADATA", b"other", False),
        ("t-1.dist-info/metadata", b"other", False),
        ("T-1.dist-info/METADATA", b"other", False),
        ("../x", b"x", False),
    ],
)
def test_names_in_a_wheel_are_judged_as_pip_unpacks_them(
    tmp_path: Path, pip_takes: Callable[[Path, Path], bool], other: str, content: bytes, is_taken: bool
) -> None:
    file = tmp_path / "t-1-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr("t-1.dist-info/METADATA", _METADATA)
        wheel.writestr("t-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("t-1.dist-info/RECORD", "")
        with pytest.warns(UserWarning) if other == "t-1.dist-info/METADATA" else nullcontext():
            wheel.writestr(other, content)
    place = tmp_path / "pip/in/place"
    taken = pip_takes(file, place)
    # As a file system sees it for which case does not count, as those of macOS and Windows.
    names = [str(path.relative_to(place)).lower() for path in place.rglob("*") if path.is_file()]
    is_metadata_same = (place / "t-1.dist-info/METADATA").read_bytes() == _METADATA
    harmless = taken and is_metadata_same and len(names) == len(set(names)) == 4
    assert harmless == is_taken
    assert ours_takes(read_distribution, file) == is_taken


def test_a_source_distribution_of_21_mb_that_unpacks_to_16_gib_is_refused_soon(tmp_path: Path) -> None:
    size = 16 * 1024**3
    entry = tarfile.TarInfo("t-1/zeros")
    entry.size = size
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(entry.tobuf(tarfile.GNU_FORMAT)) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush, the same input gives the same bytes, at a thousandth of its size.
    block = packer.compress(bytes(1024**2)) + packer.flush(zlib.Z_FULL_FLUSH)
    file = tmp_path / "t-1.tar.gz"
    with file.open("wb") as bomb:
        bomb.write(head)
        for _ in itertools.repeat(None, size // 1024**2):
            bomb.write(block + b"\0\0\0\xff\xff" * 50)
    assert 16 * 1024**2 < file.stat().st_size < 32 * 1024**2
    with pytest.raises(Refused, match=r"decompression bomb|takes too long"):
        read_distribution(file)
