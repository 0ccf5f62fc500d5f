"""What rpm can't read or create of the files of a package is refused, and nothing else; the real rpm is the judge."""

import hashlib
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from packrat_agent.formats.yum.read_rpm import read_rpm
from packrat_core.errors import Refused
from packrat_core.packages.rpm.file_list import check_files
from packrat_core.packages.rpm.header import walk
from packrat_core.packages.rpm.inspect import identify
from packrat_core.packages.rpm.rules import check_header
from packrat_demo import build_rpm
from packrat_demo.build_rpm import Rpm, Tags
from packrat_demo.build_rpm import build_rpm as build

FILES = (("/opt/f", b"x"), ("/opt/g", b"y"))
SIZES, MODES, FLAGS, OS, OTHER, PAYLOAD_FORMAT = 1028, 1030, 1037, 1021, 1097, 1124
DIGEST = hashlib.sha256(b"x").hexdigest()
Change = Callable[[Tags], object]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="rpm installs as root only")


def without(tag: int) -> Change:
    return lambda tags: tags.pop(tag, None)


def cut(tag: int) -> Change:
    """Leave one value of a tag."""

    def change(tags: Tags) -> None:
        kind, value = tags[tag]
        assert isinstance(value, tuple)
        tags[tag] = (kind, value[:1])

    return change


def ghost(tags: Tags) -> None:
    tags[FLAGS] = (4, (64,))


def with_payload(name: str) -> Change:
    return lambda tags: tags.update({PAYLOAD_FORMAT: (6, name)})


def with_names(directory: str, name: str) -> Change:
    return lambda tags: tags.update({1118: (8, (directory,)), 1117: (8, (name,))})


def with_values(tag: int, kind: int, *values: int | str) -> Change:
    return lambda tags: tags.update({tag: (kind, values)})  # type: ignore[dict-item] # numbers or texts, by the kind


def nothing(_: Tags) -> None:
    pass


def write(path: Path, rpm: Rpm, change: Change, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a package with another header."""
    plain = build_rpm.write_header

    def changed(tags: Tags, region: int) -> bytes:
        tags = dict(tags)
        if OS in tags:
            change(tags)
        return plain(tags, region)

    monkeypatch.setattr(build_rpm, "write_header", changed)
    path.write_bytes(build(rpm))
    return path


def is_installed(path: Path, root: Path) -> bool:
    """Whether rpm installs it in a root of its own."""
    (root / "var/lib/rpm").mkdir(parents=True)
    command = ["rpm", "--root", str(root), "-i", "--nodeps", "--ignorearch", "--ignoreos", str(path)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def refusal(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            header = walk(file).header
        identify(header)
        check_header(header)
        check_files(header)
    except Refused as error:
        return str(error)
    return None


def named(*names: str) -> Rpm:
    return Rpm("x", "1", "noarch", files=tuple((name, b"x") for name in names))


TAKEN = {
    "two files": (named("/opt/f", "/opt/g"), nothing),
    "no file": (named(), nothing),
    "no word on languages": (named("/opt/f"), without(OTHER)),
    "no word on the payload": (named("/opt/f"), without(PAYLOAD_FORMAT)),
    "the longest name": (named("/opt/" + "a" * 246), nothing),
    "the longest name of a directory": (named("/opt/" + "a" * 255 + "/x"), nothing),
    "a long path": (named("/opt" + ("/" + "a" * 200) * 5 + "/x"), nothing),
    "a long name of a ghost": (named("/opt/" + "a" * 300), ghost),
    "the root itself": (Rpm("x", "1", "noarch", files=(("/", b""),)), with_values(MODES, 3, 0o40755)),
    "slashes in a row": (named("/opt//f"), nothing),
    "a directory above": (named("/opt/../opt/f"), nothing),
}
BROKEN = "its header is broken"
REFUSED = {
    "no directories": (named("/opt/f"), without(1118), f"{BROKEN}: a file stands in a directory that is not listed"),
    "no operating system": (named("/opt/f"), without(OS), f"{BROKEN}: it names no operating system"),
    **{
        f"no {word}": (named("/opt/f"), without(tag), f"its header has no {word}")
        for tag, word in ((1000, "name"), (1001, "version"), (1002, "release"), (1022, "architecture"))
    },
    "changes of another package": (named("/opt/f"), with_payload("drpm"), "its payload is called 'drpm', and rpm"),
    "a payload without a name": (named(), with_payload(""), "its payload is called ''"),
    "no sizes": (named("/opt/f"), without(SIZES), f"{BROKEN}: it has names of files, but not their sizes"),
    **{
        f"no tag {tag}": (named("/opt/f"), without(tag), f"{BROKEN}: it has names of files, but not tag {tag}")
        for tag in (MODES, 1039, 1040, 1116)
    },
    **{
        f"one value of tag {tag}": (named("/a", "/b"), cut(tag), f"{BROKEN}: it has 2 files, and 1 value of tag {tag}")
        for tag in (SIZES, MODES, 1033, 1034, 1035, FLAGS, 1039, 1040, 1096)
    },
    **{
        f"2 values of tag {tag}": (
            named("/opt/f"),
            with_values(tag, kind, *values),
            f"1 file, and 2 values of tag {tag}",
        )
        for tag, kind, values in ((1035, 8, (DIGEST, DIGEST)), (1140, 4, (0, 0)), (5010, 8, ("", "")))
    },
    **{
        f"files in {directory!r}": (
            named("/opt/f"),
            with_names(directory, "f"),
            f"it has files in {directory!r}, and rpm",
        )
        for directory in ("opt/", "", "./opt/")
    },
    **{
        f"a file called {name!r}": (named(f"/opt/{name}"), with_names("/opt/", name), f"a file with the name {name!r}")
        for name in ("", "..", "no/f")
    },
    "a file of no type": (
        named("/opt/f"),
        with_values(MODES, 3, 0o644),
        "it has a file, 'f', whose mode names no type",
    ),
    "a longer name": (named("/opt/" + "a" * 247), nothing, "it has a file with a name of 247 bytes, 'aaa"),
    "a longer name of a directory": (named("/opt/" + "a" * 256 + "/x"), nothing, "a name of 256 bytes"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_rpms_that_rpm_installs_are_accepted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.rpm", *TAKEN[name], monkeypatch)
    assert refusal(path) is None
    assert is_installed(path, tmp_path / "root")


@pytest.mark.parametrize("name", REFUSED)
def test_rpms_that_rpm_cannot_install_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rpm, change, told = REFUSED[name]
    path = write(tmp_path / "x.rpm", rpm, change, monkeypatch)
    assert told in str(refusal(path))
    assert not is_installed(path, tmp_path / "root")


@pytest.mark.parametrize(("version", "release"), [("1:1", "1"), ("a:1", "1"), ("1", "2:1"), ("1:", "1")])
def test_a_colon_in_a_version_is_refused(version: str, release: str, tmp_path: Path) -> None:
    """`dnf repoquery --info` aborts where the epoch that it finds before the colon is not the package's."""
    path = tmp_path / "x.rpm"
    path.write_bytes(build(Rpm("x", version, "noarch", release)))
    assert "an unusable " in str(refusal(path))


CAPABILITIES = 5010
FILE_TAGS = (SIZES, MODES, 1033, 1034, 1035, 1036, FLAGS, 1039, 1040, 1095, 1096, 1116, 1117, 1118, 1140, CAPABILITIES)


@pytest.mark.parametrize("tag", FILE_TAGS)
def test_no_type_of_a_value_stops_the_check(tag: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """rpm compares types with tags only where a header has a region; in others, 4.18 crashes at numbers for texts."""
    plain = build_rpm.write_header
    values = {3: (1,), 4: (1,), 5: (1,), 6: "x", 7: b"x"}
    path = tmp_path / "x.rpm"
    for kind, value in values.items():

        def without_region(tags: Tags, region: int, kind: int = kind, value: object = value) -> bytes:
            if OS not in tags:
                return plain(tags, region)
            blob = plain({**tags, tag: (kind, value)}, region)  # type: ignore[dict-item] # values fit their types
            entries, size = struct.unpack(">II", blob[8:16])
            return blob[:8] + struct.pack(">II", entries - 1, size - 16) + blob[32:-16]

        monkeypatch.setattr(build_rpm, "write_header", without_region)
        path.write_bytes(build(named("/opt/f")))
        told = refusal(path)
        assert told is None or "its header is broken" in told or "names no type" in told
        assert told is not None or tag != CAPABILITIES


SOURCE_PACKAGE, SOURCE_RPM = 1106, 1044


def early_source(tags: Tags) -> None:
    del tags[SOURCE_RPM]
    tags[1118] = (8, ("",))


def earliest(path: str) -> Change:
    """Make a package as rpm did before version 4, with whole paths."""

    def change(tags: Tags) -> None:
        for tag in (SOURCE_RPM, 1116, 1117, 1118):
            del tags[tag]
        tags[1027] = (8, (path,))

    return change


@pytest.mark.parametrize(
    "change", [lambda tags: tags.update({SOURCE_PACKAGE: (4, 1)}), early_source, earliest("x.spec")]
)
def test_a_source_package_is_told_by_its_mark_or_by_files_without_a_directory(
    change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.rpm", named("/opt/f"), change, monkeypatch)
    assert "it is a source package" in str(refusal(path))
    assert mark_and_arch(path) == "1 noarch"


def mark_and_arch(path: Path) -> str:
    """Whether rpm takes a package for a source package, and its architecture."""
    command = ["rpm", "-qp", "--qf", "%{sourcepackage} %{arch}", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("change", [without(SOURCE_RPM), earliest("/opt/f"), earliest("/f")])
def test_a_binary_package_need_not_name_its_source(
    change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cargo-generate-rpm writes such packages; rpm and createrepo_c take them for what they are."""
    path = write(tmp_path / "x.rpm", named("/opt/f"), change, monkeypatch)
    assert refusal(path) is None
    assert mark_and_arch(path) == "(none) noarch"
    assert b"<arch>noarch</arch>" in read_rpm(path).body
