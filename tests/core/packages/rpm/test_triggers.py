"""Triggers at which rpm crashes are refused, and what rpmbuild makes is not; the real rpm is the judge."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import walk
from packrat_core.packages.rpm.rules import check_header
from packrat_demo import build_rpm
from packrat_demo.build_rpm import Rpm, Tags

KINDS = {
    "of packages": (1065, 1066, 1067, 1068, 1069),
    "of files": (5066, 5069, 5071, 5072, 5070),
    "at the end": (5076, 5079, 5081, 5082, 5080),
}
PROGRAMS = {1065: 1092, 5066: 5067, 5076: 5077}
ON_FILES = ("of files", "at the end")
SPEC = """
Name: x
Version: 1
Release: 1
Summary: x
License: MIT
BuildArch: noarch
%description
%triggerprein -- bash < 5
true
%triggerin -- bash, coreutils >= 3, bash < 9
%triggerin -- bash
echo the same trigger again, which rpmbuild leaves out
%triggerun -- bash
true
%triggerpostun -p <lua> -- x < 1, y < 2
print("x")
%filetriggerin -P 100 -- /usr/lib, /usr/lib
%filetriggerun -- /usr/lib64 /opt
true
%transfiletriggerin -- /usr/share/icons
true
%transfiletriggerpostun -p <lua> -- /opt
print("x")
%files
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="rpm installs as root only")


def triggers(kind: str) -> Tags:
    """Three triggers of two scripts."""
    scripts, names, versions, flags, indexes = KINDS[kind]
    return {
        scripts: (8, ("", "true")),
        PROGRAMS[scripts]: (8, ("/sbin/ldconfig", "/bin/sh")),
        names: (8, ("/opt",) * 3),
        versions: (8, ("", "", "")),
        flags: (4, (1 << 16,) * 3),
        indexes: (4, (1, 0, 0)),
    }


def take_region(header: bytes) -> bytes:
    """A header as rpm wrote it in the last century: without the entry of its region, and the end of that."""
    entries, size = struct.unpack(">II", header[8:16])
    return header[:8] + struct.pack(">II", entries - 1, size - 16) + header[32:-16]


def write(path: Path, extra: Tags, monkeypatch: pytest.MonkeyPatch, *, without_region: bool = False) -> Path:
    plain = build_rpm.write_header

    def with_triggers(tags: Tags, region: int) -> bytes:
        if region != 63:
            return plain(tags, region)
        header = plain(tags | extra, region)
        return take_region(header) if without_region else header

    with monkeypatch.context() as patched:
        patched.setattr(build_rpm, "write_header", with_triggers)
        path.write_bytes(build_rpm.build_rpm(Rpm("x", "1", "noarch", files=(("/opt/x", b"x"),))))
    return path


def refusal(path: Path) -> str:
    try:
        with path.open("rb") as file:
            check_header(walk(file).header)
    except Refused as error:
        return str(error)
    return ""


def does_rpm_crash(path: Path, root: Path, *, shows: bool = True) -> bool:
    """Whether rpm crashes at a package, or at another one beside it.

    Args:
        path: The package.
        root: A directory to install both into.
        shows: Whether rpm also shows the triggers.
    """
    (root / "var/lib/rpm").mkdir(parents=True)
    inside = ["rpm", "--root", str(root), "--nodeps"]
    anyhow = ["--ignorearch", "--ignoreos", "--nodigest"]
    other = root / "other.rpm"
    other.write_bytes(build_rpm.build_rpm(Rpm("other", "1", "noarch", files=(("/opt/other", b"x"),))))
    show = ["rpm", "-qp", "--triggers", "--filetriggers", "--nodigest", str(path)]
    commands = [
        *([show] if shows else []),
        [*inside, "-i", *anyhow, str(path)],
        [*inside, "-i", *anyhow, str(other)],
        [*inside, "-e", "other"],
        [*inside, "-e", "x"],
    ]
    return any(
        subprocess.run(command, capture_output=True, check=False, timeout=60).returncode < 0 for command in commands
    )


@pytest.mark.parametrize("kind", KINDS)
def test_triggers_as_rpmbuild_writes_them_are_taken(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.rpm", triggers(kind), monkeypatch)
    assert refusal(path) == ""
    assert not does_rpm_crash(path, tmp_path / "root")


def test_what_rpmbuild_makes_is_taken(tmp_path: Path) -> None:
    (tmp_path / "x.spec").write_text(SPEC)
    command = ["rpmbuild", "-bb", "--define", f"_topdir {tmp_path}", str(tmp_path / "x.spec")]
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    path = tmp_path / "RPMS/noarch/x-1-1.noarch.rpm"
    with path.open("rb") as file:
        header = walk(file).header
    assert len(set(header.numbers(1069))) < len(header.texts(1065)) == 5
    assert refusal(path) == ""
    assert not does_rpm_crash(path, tmp_path / "root", shows=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["fewer names", "no flags", "fewer indexes"])
def test_lists_of_triggers_at_which_rpm_crashes_are_refused(
    kind: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, names, _, flags, indexes = KINDS[kind]
    lists = triggers(kind)
    match change:
        case "fewer names":
            lists[names] = (8, ("/opt",))
        case "no flags":
            del lists[flags]
        case "fewer indexes":
            lists[indexes] = (4, (1,))
    path = write(tmp_path / "x.rpm", lists, monkeypatch)
    assert "triggers" in refusal(path)
    assert does_rpm_crash(path, tmp_path / "root")


@pytest.mark.parametrize("kind", ON_FILES)
@pytest.mark.parametrize("change", ["an index of no script", "no scripts", "no programs", "fewer programs"])
def test_triggers_on_files_without_their_scripts_are_refused(
    kind: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts, _, _, _, indexes = KINDS[kind]
    lists = triggers(kind)
    match change:
        case "an index of no script":
            lists[indexes] = (4, (0, 1, 2))
        case "no scripts":
            del lists[scripts]
        case "no programs":
            del lists[PROGRAMS[scripts]]
        case "fewer programs":
            lists |= {indexes: (4, (0, 0, 1)), PROGRAMS[scripts]: (8, ("/bin/sh",))}
    path = write(tmp_path / "x.rpm", lists, monkeypatch)
    assert "triggers" in refusal(path)
    assert does_rpm_crash(path, tmp_path / "root", shows=False)


@pytest.mark.parametrize(("index", "is_taken"), [(1, True), (2, False)])
def test_a_trigger_on_packages_has_its_script_or_there_are_none(
    index: int, is_taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = triggers("of packages") | {1069: (4, (0, 1, index))}
    assert (refusal(write(tmp_path / "x.rpm", lists, monkeypatch)) == "") is is_taken
    del lists[1065], lists[1092]
    path = write(tmp_path / "y.rpm", lists, monkeypatch)
    assert refusal(path) == ""
    assert not does_rpm_crash(path, tmp_path / "root")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [3, 4])
def test_numbers_that_are_too_short_for_rpm_are_refused_without_a_region_too(
    kind: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = triggers(kind) | {KINDS[kind][at]: (3, (0, 1, 0))}
    path = write(tmp_path / "x.rpm", lists, monkeypatch, without_region=True)
    assert "is not of 32 bits" in refusal(path)
    assert does_rpm_crash(path, tmp_path / "root")
    path = write(tmp_path / "y.rpm", triggers(kind), monkeypatch, without_region=True)
    assert refusal(path) == ""
