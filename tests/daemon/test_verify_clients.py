"""`packrat-agent verify --clients` lets the real clients read the tree, and tells what they refuse."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.every_type import fill, mirror_of_all
from support.faults import flip_a_byte, remove
from support.keys import Key, new_key
from support.stage import Stage
from support.type_clients import PIP

_SUITE = "apt-dev/dists/bookworm"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[Stage]:
    """A signed mirror with packages of every type."""
    with mirror_of_all(tmp_path_factory.mktemp("clients"), key) as lab:
        fill(lab)
        lab.agent("sync")
        yield lab


def _refusals(lab: Stage, tree: Path, *more: str, expect: int = 13) -> dict[str, str]:
    """Path → what a client says of it."""
    done = lab.agent("verify", "--clients", "--json", "--root", str(tree), *more, expect=expect)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["clients"], found
    return {fault["path"]: fault["what"] for fault in found["faults"] if " refuses it: " in fault["what"]}


def _part(lab: Stage, tmp_path: Path, *names: str) -> Path:
    """A copy of some repositories, with the key."""
    tree = tmp_path / "tree"
    for name in names:
        shutil.copytree(lab.www / name, tree / name, symlinks=True)
    for name in ("repo-key", "repo-key.gpg"):
        shutil.copy(lab.www / name, tree / name)
    return tree


def test_every_client_takes_a_sound_tree_and_each_is_named(built: Stage) -> None:
    told = built.agent("verify", "--clients").stdout
    assert "0 faults" in told
    usable = ["apt-get", "dnf", *(["zypper"] if os.geteuid() == 0 else []), "pip", "skopeo"]
    assert f"clients: {', '.join(usable)}" in told
    assert "clients" not in json.loads(built.agent("verify", "--json").stdout)


def test_a_client_that_the_machine_lacks_is_reported_and_the_others_are_asked(
    built: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in Path("/usr/bin").iterdir():
        if program.name not in ("dnf", "zypper", "skopeo", "pip"):
            (tmp_path / program.name).symlink_to(program)
    (tmp_path / "pip").symlink_to(PIP)
    monkeypatch.setenv("PATH", str(tmp_path))
    told = built.agent("verify", "--clients").stdout
    assert "clients: apt-get, pip; not usable on this machine: dnf, zypper, skopeo\n" in told


def test_a_refusal_by_apt_alone_is_a_fault_with_its_words(built: Stage, tmp_path: Path, key: Key) -> None:
    tree = _part(built, tmp_path, "apt-dev")
    release = tree / _SUITE / "Release"
    release.write_text(re.sub(r"^Date: .*$", "Date: Thu, 01 Jan 2099 00:00:00 UTC", release.read_text(), flags=re.M))
    for form, name in (("--clearsign", "InRelease"), ("--detach-sign", "Release.gpg")):
        command = ["gpg", "--homedir", str(key.home), "--batch", "--yes", "--armor", form, "-o"]
        subprocess.run([*command, str(release.with_name(name)), str(release)], check=True, capture_output=True)
    refused = _refusals(built, tree)
    assert list(refused) == [_SUITE]
    assert refused[_SUITE].startswith("apt-get refuses it: E: ")
    assert "not valid yet" in refused[_SUITE]
    assert "127.0.0.1" not in refused[_SUITE]


def test_each_client_refuses_what_is_damaged(built: Stage, tmp_path: Path) -> None:
    tree = _part(built, tmp_path, "apt-dev", "yum-dev", "pypi-dev", "docker-dev")
    for index in (tree / _SUITE / "main/binary-amd64").rglob("*"):
        if index.is_file():
            remove(index)
    flip_a_byte(next((tree / "yum-dev/rhel/main/9/repodata").glob("*primary*")))
    flip_a_byte(next((tree / "pypi-dev/packages").rglob("other-1-*.whl")))
    digest = json.loads((tree / "docker-dev/v2/web/manifests/1.2").read_bytes())["layers"][0]["digest"]
    flip_a_byte(tree / "docker-dev/v2/web/blobs" / digest)
    refused = _refusals(built, tree)
    clients = {path: what.partition(" refuses it: ")[0] for path, what in refused.items()}
    assert clients == {
        _SUITE: "apt-get",
        "yum-dev/rhel/main/9": "zypper" if os.geteuid() == 0 else "dnf",
        "pypi-dev/simple/other": "pip",
        "docker-dev/v2/web/manifests/1.2": "skopeo",
    } | {path: "skopeo" for path in clients if path.startswith("docker-dev/v2/web/manifests/")}


def test_lies_in_the_lists_of_images_stop_no_other_client(built: Stage, tmp_path: Path) -> None:
    tree = _part(built, tmp_path, "apt-dev", "docker-dev")
    remove(tree / _SUITE / "Release")
    remove(tree / _SUITE / "InRelease")
    for lie in (b"5", b"{", b'{"repositories": 5}', b'{"repositories": ["../../..", 5, "--help", "gone", "web"]}'):
        (tree / "docker-dev/v2/_catalog").write_bytes(lie)
        assert list(_refusals(built, tree)) == [_SUITE]


def test_a_client_trusts_the_key_that_is_given_and_no_other(built: Stage, tmp_path: Path) -> None:
    tree = _part(built, tmp_path, "apt-dev", "yum-dev")
    armored = tmp_path / "known.asc"
    armored.write_bytes((tree / "repo-key").read_bytes())
    assert _refusals(built, tree, "--key", str(armored), expect=0) == {}
    with new_key("Somebody Else <else@example.com>") as other:
        command = ["gpg", "--homedir", str(other.home), "--export"]
        (tmp_path / "other.gpg").write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    refused = _refusals(built, tree, "--key", str(tmp_path / "other.gpg"))
    assert set(refused) == {_SUITE, "yum-dev/rhel/main/9", "yum-dev/sles/main/15"}
