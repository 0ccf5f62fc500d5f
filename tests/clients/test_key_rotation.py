"""Real clients go through the whole rotation of a key, each in the state that the phase before has left it in."""

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_demo.private_apt import PrivateApt
from packrat_demo.private_rpm import PrivateDnf, PrivateZypper
from support.keys import gnupg_home
from support.other_debian import RELEASES, write_programs
from support.rotation_stage import RotationStage, SkopeoClient, rotation_stage
from support.stage import DEADLINE_S

PHASES = (None, "offered", "switched", "retired")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RotationStage]:
    with gnupg_home() as home, rotation_stage(tmp_path_factory.mktemp("rotation"), home) as stage:
        yield stage


class Clients:
    """One client of each kind, with what it fetched last."""

    def __init__(self, made: RotationStage, place: Path) -> None:
        self._made = made
        self._keyring = place / "keyring.gpg"
        source = f"deb [signed-by={self._keyring}] {made.url}/apt-dev bookworm main\n"
        # The clients of other releases are run by wrappers in a directory that goes first in PATH.
        self._paths = [
            os.environ["PATH"],
            *(f"{write_programs(release, place)}:{os.environ['PATH']}" for release in RELEASES),
        ]
        self._apts = [PrivateApt(place / f"apt-{number}", source) for number in range(len(self._paths))]
        yum = made.lab.www / "yum-dev"
        rhel, sles = ((yum / f"{part}/yum-dev.repo").read_text() for part in ("rhel/main/9", "sles/main/15"))
        self._dnf_root = place / "dnf"
        self._dnf, self._zypper = PrivateDnf(place / "dnf", rhel), PrivateZypper(place / "zypper", sles)
        self._zypper_root = place / "zypper"
        self._skopeo = SkopeoClient(made.url, place / "skopeo")
        self._files = place / "files"
        self._files.mkdir()

    def fetch_keys(self) -> None:
        """What a client has to do in a phase."""
        self._keyring.write_bytes(self._fetch("repo-key.gpg"))
        self._skopeo.fetch()
        armored = self._files / "repo-key"
        armored.write_bytes(self._fetch("repo-key"))
        for root in (self._zypper_root, self._dnf_root / "target"):
            rpm = ["rpm", "--root", str(root), "--import", str(armored)]
            subprocess.run(rpm, check=True, capture_output=True, timeout=DEADLINE_S)
        for keys in self._dnf_root.glob("cache/*/pubring"):
            shutil.rmtree(keys)
        said = self._dnf.run("makecache", "--refresh")
        assert said.exit_code == 0, said.output

    def update(self, monkeypatch: pytest.MonkeyPatch, version: str, *, is_first: bool) -> None:
        """Get the newest package of each type, with every signature checked."""
        for path, apt in zip(self._paths, self._apts, strict=True):
            monkeypatch.setenv("PATH", path)
            said = apt.run("-o", "APT::Update::Error-Mode=any", "update")
            assert (said.exit_code, "W:" in said.output) == (0, False), said.output
            said = apt.run("download", f"hello={version}-1")
            assert said.exit_code == 0, said.output
        monkeypatch.setenv("PATH", self._paths[0])
        # As a timer does, which takes no key by itself.
        said = self._dnf.run("--assumeno", "makecache", "--refresh")
        assert said.exit_code == 0, said.output
        said = self._dnf.run("install", f"hello-{version}")
        assert (said.exit_code, "Importing GPG key" in said.output) == (0, False), said.output
        for words in (("refresh", "--force"), ("install", f"hello-{version}")):
            # It takes no key by itself but the first one.
            said = self._zypper.run(*words, trust_new_keys=is_first)
            assert said.exit_code == 0, said.output
        assert self._skopeo.pull(version) == ""
        assert self._skopeo.pull("0.0") == ""
        (self._files / "SHA256SUMS.signed").write_bytes(self._fetch("json-dev/SHA256SUMS.signed"))
        gpgv = ["gpgv", "--keyring", str(self._keyring), "--output", os.devnull, "SHA256SUMS.signed"]
        done = subprocess.run(gpgv, cwd=self._files, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        assert done.returncode == 0, done.stderr

    def _fetch(self, path: str) -> bytes:
        answer: bytes = urllib.request.urlopen(f"{self._made.url}/{path}", timeout=DEADLINE_S).read()
        return answer


def keys_in(path: Path) -> int:
    shown = subprocess.run(["gpg", "--show-keys", "--with-colons", path], capture_output=True, text=True, check=True)
    return sum(line.startswith("pub:") for line in shown.stdout.splitlines())


def test_all_clients_go_through_the_rotation_without_one_failure(
    made: RotationStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    www, lab = made.lab.www, made.lab
    steps: tuple[list[str], ...] = ([], ["--begin", made.new.fingerprint], ["--switch"], ["--finish"])
    repomd = "yum-dev/rhel/main/9/repodata/repomd.xml"
    by = [{"old"}, {"old"}, {"old", "new"}, {"new"}]
    clients: Clients | None = None
    first_rpm = b""
    for number, (phase, step) in enumerate(zip(PHASES, steps, strict=True)):
        if step:
            lab.agent("key", "rotate", *step)
        made.put(f"{number}.0")
        lab.agent("sync")
        assert made.faults() == []
        assert made.status()["phase"] == phase
        # apt reads these two, and takes either key; all else has one signature.
        assert made.signers("apt-dev/dists/bookworm/InRelease") == by[number]
        assert made.signers("apt-dev/dists/bookworm/Release.gpg", "apt-dev/dists/bookworm/Release") == by[number]
        assert made.signers(f"{repomd}.asc", repomd) == ({"old"} if number < 2 else {"new"})
        assert (keys_in(www / "repo-key"), keys_in(www / "repo-key.gpg")) == ((1, 1), (2, 2), (2, 2), (2, 1))[number]
        rpm = (www / "yum-dev/rhel/main/9/noarch/hello-0.0-1.noarch.rpm").read_bytes()
        first_rpm = first_rpm or rpm
        assert rpm == first_rpm, "what the old key signed stays"
        if clients is None:
            clients = Clients(made, tmp_path)
            clients.fetch_keys()
        clients.update(monkeypatch, f"{number}.0", is_first=number == 0)
        clients.fetch_keys()
    assert made.status()["kept_packages"] == 2
    refused = lab.agent("key", "rotate", "--forget", expect=10)
    assert "2 published packages have the signature of a retired key" in refused.stderr
