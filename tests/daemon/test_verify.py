"""`packrat-agent verify` finds each planted fault, and nothing in a sound tree."""

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from packrat_demo.build_deb import Deb
from support.faults import close_to_others, flip_a_byte, link_outside, make_a_directory, remove, truncate
from support.keys import new_key
from support.stage import Stage


@pytest.fixture
def built(lab: Stage) -> Stage:
    """A lab whose mirror is built."""
    for name in ("first", "second"):
        lab.server.put_deb(Deb(name, "1", "amd64", files=((f"/usr/share/{name}", os.urandom(5000)),)))
    lab.agent("sync")
    return lab


def verify(lab: Stage, expect: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.agent("verify", "--json", expect=expect).stdout)
    return found


_FAULTS = (flip_a_byte, truncate, remove, make_a_directory, link_outside, close_to_others)


def test_a_sound_tree_has_no_faults(built: Stage) -> None:
    found = verify(built, 0)
    assert found.keys() == {"schema", "repositories", "files", "bytes", "faults", "warnings", "unnamed"}
    assert found["schema"] == 1
    assert found["repositories"] == [["apt", "apt-dev"]]
    assert found["faults"] == []
    assert found["files"] > 10
    assert "0 faults" in built.agent("verify").stdout


def test_planted_faults_are_found_and_a_full_pass_mends_them(built: Stage) -> None:
    places = [
        "apt-dev/dists/bookworm/main/binary-amd64/Packages.xz",
        "apt-dev/pool/first/first_1_amd64.deb",
        "apt-dev/pool/second/second_1_amd64.deb",
    ]
    for plant in _FAULTS:
        for place in places:
            plant(built.www / place)
        found = {fault["path"] for fault in verify(built, 13)["faults"]}
        assert found >= set(places), plant.__name__
        for place in places:
            if (built.www / place).is_dir():
                (built.www / place).rmdir()
        built.agent("sync")
        assert verify(built, 0)["faults"] == [], plant.__name__


def test_a_signature_of_another_key_is_found(built: Stage, tmp_path: Path) -> None:
    with new_key("Somebody Else <else@example.com>") as other:
        release = built.repo / "dists/bookworm/Release"
        subprocess.run(
            [
                *("gpg", "--homedir", str(other.home), "--batch", "--yes", "--clearsign"),
                *("-o", str(release.with_name("InRelease")), str(release)),
            ],
            check=True,
            capture_output=True,
        )
    assert any("signature" in fault["what"] for fault in verify(built, 13)["faults"])


@pytest.mark.parametrize("stray", [False, True])
def test_a_directory_without_a_mirror_is_a_fault(built: Stage, tmp_path: Path, stray: bool) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    if stray:
        (empty / "stray").write_text("")
    assert "holds no mirror" in built.agent("verify", "--root", str(empty), expect=13).stdout


def test_a_mirror_without_a_landing_page_is_verified(built: Stage, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(built.repo, copy / "apt-dev", symlinks=True)
    key = str(built.www / "repo-key.gpg")
    assert "1 repository, " in built.agent("verify", "--root", str(copy), "--key", key).stdout


def test_without_a_state_database_and_from_elsewhere(built: Stage, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(built.www, copy, symlinks=True, ignore=shutil.ignore_patterns(".packrat-agent"))
    said = built.agent("--config", "/nonexistent", "verify", "--root", str(copy))
    assert "0 faults" in said.stdout
    (copy / "stray").write_text("")
    assert "? stray" in built.agent("verify", "--root", str(copy), "--unnamed").stdout


@pytest.mark.parametrize("of", ["text", "pipe", "newer"])
def test_a_state_database_that_stops_every_sync_is_told(built: Stage, of: str) -> None:
    path = built.directory / "state/state.db"
    if of == "newer":
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 9999")
    else:
        built.lose_state()
        if of == "text":
            path.write_text("not a database, but the notes of somebody\n" * 99)
        else:
            os.mkfifo(path)
    built.agent("sync", expect=2)
    assert [str(path) in told["what"] for told in verify(built, 0)["warnings"]] == [True]
