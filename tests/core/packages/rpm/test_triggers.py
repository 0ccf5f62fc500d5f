"""Triggers at which rpm crashes are refused, and those that rpmbuild writes are not; the real rpm is the judge."""

import os
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

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="rpm installs as root only")


def triggers(kind: str) -> Tags:
    """Three triggers of two scripts."""
    scripts, names, versions, flags, indexes = KINDS[kind]
    return {
        scripts: (8, ("", "true")),
        PROGRAMS[scripts]: (8, ("/sbin/ldconfig", "/bin/sh")),
        names: (8, ("/a", "/b", "/c")),
        versions: (8, ("", "", "")),
        flags: (4, (1 << 16,) * 3),
        indexes: (4, (1, 0, 0)),
    }


def write(path: Path, extra: Tags, monkeypatch: pytest.MonkeyPatch) -> Path:
    plain = build_rpm.write_header

    def with_triggers(tags: Tags, region: int) -> bytes:
        return plain(tags | extra if region == 63 else tags, region)

    monkeypatch.setattr(build_rpm, "write_header", with_triggers)
    path.write_bytes(build_rpm.build_rpm(Rpm("x", "1", "noarch", files=(("/opt/x", b"x"),))))
    return path


def refusal(path: Path) -> str:
    try:
        with path.open("rb") as file:
            check_header(walk(file).header)
    except Refused as error:
        return str(error)
    return ""


def does_rpm_crash(path: Path, root: Path) -> bool:
    """Whether rpm crashes when it shows the triggers, or installs or removes the package."""
    (root / "var/lib/rpm").mkdir(parents=True)
    inside = ["rpm", "--root", str(root), "--nodeps"]
    commands = [
        ["rpm", "-qp", "--triggers", "--filetriggers", str(path)],
        [*inside, "-i", "--ignorearch", "--ignoreos", str(path)],
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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "change", ["fewer names", "no flags", "fewer indexes", "an index of no script", "a script alone"]
)
def test_triggers_at_which_rpm_crashes_are_refused(
    kind: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts, names, _, flags, indexes = KINDS[kind]
    lists = triggers(kind)
    match change:
        case "fewer names":
            lists[names] = (8, ("/a",))
        case "no flags":
            del lists[flags]
        case "fewer indexes":
            lists[indexes] = (4, (1,))
        case "an index of no script":
            lists[indexes] = (4, (0, 0, 2))
        case "a script alone":
            lists[scripts] = (8, ("", "true", "true"))
    path = write(tmp_path / "x.rpm", lists, monkeypatch)
    assert "triggers" in refusal(path)
    assert does_rpm_crash(path, tmp_path / "root")
