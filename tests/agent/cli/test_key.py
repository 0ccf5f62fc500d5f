"""`packrat-agent key`: makes, shows, exports and backs up keys."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from packrat_agent.cli.main import main
from packrat_agent.gpg.new_key import make_key
from packrat_agent.setup.account import Account, account_of
from support.keys import end_gpg_agent, gnupg_home
from support.mirror_conf import write_mirror_conf
from support.stage import DEADLINE_S

_NOBODY = 65534


@dataclass(slots=True)
class Place:
    """A configuration with a keyring; no server is needed."""

    top: Path
    home: Path

    def configure(self, keys: str = "") -> None:
        write_mirror_conf(
            self.top,
            "http://127.0.0.1:1",
            packrat="psk: x\n",
            mirror=f"description: the lab\ngnupg_home: {self.home}\n{keys}\n",
        )

    def run(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "packrat_agent.cli", "--config", str(self.top / "mirror.conf"), "key"]
        done = subprocess.run([*command, *arguments], capture_output=True, check=False, timeout=DEADLINE_S)
        assert done.returncode == expect, done
        return done

    def gpg(self, home: Path, *arguments: str, data: bytes = b"") -> str:
        gpg = ["gpg", "--homedir", str(home), "--batch", "--with-colons", *arguments]
        return subprocess.run(gpg, input=data, check=True, capture_output=True).stdout.decode()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place with a new key of its own, which signs."""
    with gnupg_home() as parent:
        made = Place(tmp_path_factory.mktemp("key"), parent / "new")
        (made.top / "www").mkdir()
        made.configure()
        fingerprint = made.run("new", "--kind", "ed25519").stdout.decode().strip()
        made.configure(f"gpg_sign_key: {fingerprint}")
        yield made
        end_gpg_agent(made.home)


def test_a_new_key_has_a_subkey_that_expires_and_a_revocation_certificate(place: Place) -> None:
    listed = [line.split(":") for line in place.gpg(place.home, "-K").splitlines()]
    [primary], [subkey] = ([line for line in listed if line[0] == kind] for kind in ("sec", "ssb"))
    assert (primary[6], primary[11].lower().replace("s", "")) == ("", "cc")
    assert subkey[6]
    assert subkey[11] == "s"
    assert place.home.stat().st_mode & 0o777 == 0o700
    fingerprint = next(line[9] for line in listed if line[0] == "fpr")
    assert (place.home / "openpgp-revocs.d" / f"{fingerprint}.rev").exists()
    again = place.run("new", "--kind", "ed25519", expect=6).stderr.decode()
    assert "has a key of the name 'the lab' already" in again


@pytest.mark.parametrize("expires", ["99q", "2020-01-01", "soon", "0d"])
def test_no_half_of_a_key_is_made_where_the_time_is_wrong(place: Place, expires: str) -> None:
    before = place.gpg(place.home, "-K")
    said = place.run("new", "--name", "half", "--expires", expires, expect=6).stderr.decode()
    assert f"--expires: '{expires}'" in said or f"--expires: {expires} is not in the future" in said
    assert place.gpg(place.home, "-K") == before


def test_a_new_key_names_the_steps_that_follow(place: Place) -> None:
    told = place.run("new", "--kind", "ed25519", "--name", "follows", "--expires", "6m")
    fingerprint = told.stdout.decode().strip()
    (line,) = (line for line in told.stderr.decode().splitlines() if line.startswith("next: "))
    assert f"key rotate --begin {fingerprint}`" in line
    assert "key backup FILE`" in line
    place.gpg(
        place.home,
        "--yes",
        "--pinentry-mode",
        "loopback",
        "--delete-secret-and-public-key",
        _primary_of(place, fingerprint),
    )


def _primary_of(place: Place, fingerprint: str) -> str:
    listed = [line.split(":") for line in place.gpg(place.home, "-K", fingerprint).splitlines()]
    return next(line[9] for line in listed if line[0] == "fpr")


def test_show_names_the_key_and_what_clients_refuse(place: Place) -> None:
    said = place.run("show").stdout.decode()
    assert "EdDSA 255, expires on" in said
    assert "! EdDSA is refused by RHEL 8" in said


def test_the_public_key_is_exported_in_both_forms(place: Place, tmp_path: Path) -> None:
    for option, name in (((), "key.asc"), (("--binary",), "key.gpg")):
        (tmp_path / name).write_bytes(place.run("export", *option).stdout)
        assert "pub:" in place.gpg(place.home, "--show-keys", str(tmp_path / name))
    assert (tmp_path / "key.asc").read_bytes().startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert "has no gpg_sign_key" in place.run("export", "--section", "tag prod", expect=2).stderr.decode()


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_backup_restores_the_key(place: Place, tmp_path: Path, is_encrypted: bool) -> None:
    backup, passphrase = tmp_path / "backup.asc", tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    options = ["--encrypt-with", str(passphrase)] if is_encrypted else []
    said = place.run("backup", str(backup), *options).stderr.decode()
    assert ("NOT encrypted" in said) is not is_encrypted
    assert "move it to a safe place off this machine" in said
    assert backup.stat().st_mode & 0o777 == 0o600
    data = backup.read_bytes()
    assert (b"PRIVATE KEY" in data) is not is_encrypted
    with gnupg_home() as home:
        if is_encrypted:
            unlock = ["--pinentry-mode", "loopback", "--passphrase-file", str(passphrase)]
            data = place.gpg(home, *unlock, "--decrypt", str(backup)).encode()
        assert b":-----BEGIN PGP PUBLIC KEY BLOCK-----" in data, "a revocation certificate that nobody imports unawares"
        place.gpg(home, "--import", data=data)
        listed = place.gpg(home, "-K")
        assert "ssb:" in listed
        assert "sec:r" not in listed
    assert "exists already" in place.run("backup", str(backup), expect=2).stderr.decode()
    missing = place.run("backup", str(place.top / "usb/backup"), expect=2).stderr.decode()
    assert f"there is no directory {place.top / 'usb'}" in missing
    assert not (place.top / "usb").exists()
    inside = place.run("backup", str(place.top / "www/backup"), expect=2).stderr.decode()
    assert "lies in root_dir" in inside


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works as another user")
def test_a_backup_without_gnupg_home_goes_back_into_the_keyring_of_the_agents_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gnupg_home() as own:
        top = own / "home"
        home = top / ".gnupg"
        for directory in (top, home, own / "state"):
            directory.mkdir(mode=0o700)
            os.chown(directory, _NOBODY, _NOBODY)
        own.chmod(0o711)
        account = account_of(_NOBODY)
        environment = {**account.environment, "HOME": str(top)}
        monkeypatch.setattr(Account, "environment", property(lambda _: environment))
        signing = account.do(lambda: make_key(home, None, "Own", "ed25519", "1y").signing)
        mirror = f"description: the lab\ngpg_sign_key: {signing}\n"
        conf = write_mirror_conf(own, "http://127.0.0.1:1", packrat="psk: x\n", mirror=mirror)
        done = CliRunner().invoke(main, ["--config", str(conf), "key", "backup", str(tmp_path / "backup.asc")])
        end_gpg_agent(home)
    assert done.exit_code == 0, done.output
    assert f"gpg --homedir {home} --batch --import < {tmp_path}/backup.asc`" in done.output


def test_a_backup_that_lacks_the_part_that_signs_is_refused(place: Place, tmp_path: Path) -> None:
    with gnupg_home() as home:
        place.gpg(home, "--import", data=place.gpg(place.home, "--armor", "--export-secret-keys").encode())
        listed = [line.split(":") for line in place.gpg(home, "-K").splitlines()]
        primary, subkey = (line[9] for line in listed if line[0] == "fpr")
        grips = [line[9] for line in listed if line[0] == "grp"]
        other = Place(tmp_path, home)
        for name in (primary, subkey):
            other.configure(f"gpg_sign_key: {name}")
            other.run("backup", str(tmp_path / f"{name}.good"))
        end_gpg_agent(home)
        # Its secret part is on a card, or was lost: gpg exports a stub in its place.
        (home / f"private-keys-v1.d/{grips[1]}.key").unlink()
        for name in (primary, subkey):
            other.configure(f"gpg_sign_key: {name}")
            said = other.run("backup", str(tmp_path / f"{name}.bad"), expect=6).stderr.decode()
            assert f"lacks the secret part of {subkey}; nothing was written" in said
            assert not (tmp_path / f"{name}.bad").exists()


def test_without_a_key_the_next_step_is_reported(tmp_path: Path) -> None:
    with gnupg_home() as home:
        place = Place(tmp_path, home)
        place.configure()
        assert "packrat-agent key new" in place.run("show").stdout.decode()
        assert "packrat-agent key new" in place.run("backup", str(tmp_path / "x"), expect=6).stderr.decode()
        assert "nothing to rotate" in place.run("rotate", expect=2).stderr.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works for another user")
def test_root_leaves_no_file_of_its_own_in_the_keyring(place: Place) -> None:
    owned = [place.home, *place.home.rglob("*")]
    end_gpg_agent(place.home)
    parents = [place.home.parent]
    modes = [path.stat().st_mode for path in parents]
    for path in owned:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    try:
        for path in parents:
            path.chmod(0o755)
        assert "expires on" in place.run("show").stdout.decode()
        assert {path.lstat().st_uid for path in place.home.rglob("*")} == {65534}
    finally:
        end_gpg_agent(place.home)
        for path in (place.home, *place.home.rglob("*")):
            os.chown(path, 0, 0, follow_symlinks=False)
        for path, mode in zip(parents, modes, strict=True):
            path.chmod(mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works for another user")
def test_a_keyring_that_the_agents_user_replaced_starts_nothing_as_root(place: Place, tmp_path: Path) -> None:
    """gpg.conf in it names a program, which notes as whom it runs; the keyring itself is in a directory of root's."""
    with gnupg_home() as top:
        top.chmod(0o755)
        theirs, state, told = top / "theirs", top / "state", top / "told"
        shutil.copytree(place.home, theirs, ignore=shutil.ignore_patterns("S.*"))
        theirs.chmod(0o777)
        program = top / "program"
        program.write_text(f"#!/bin/sh\nid -u >> {told}\n")
        program.chmod(0o755)
        told.touch()
        told.chmod(0o666)
        (theirs / "gpg.conf").write_text(f"agent-program {program}\n")
        state.mkdir()
        (state / "gnupg").symlink_to(theirs)
        for path in (state, state / "gnupg"):
            os.chown(path, 65534, 65534, follow_symlinks=False)
        trap = Place(tmp_path, state / "gnupg")
        (tmp_path / "www").mkdir()
        trap.configure((place.top / "mirror.conf").read_text().split(f"{place.home}\n")[1])
        trap.run("show")
        assert set(told.read_text().split()) <= {"65534"}
