"""The gpg commands that messages advise do what they say when root's shell runs them as they stand."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.key_warnings import warn
from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.listed_keys import list_keys
from packrat_agent.setup.account import account_of
from packrat_core.errors import SigningError
from support.keyring import Keyring, now, unlocked
from support.keys import end_gpg_agent

SECRET = "it's $ecret"
NOBODY = 65534
NAMELESS = 1000650000
DEADLINE_S = 60

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root works in the keyring of another user")


@dataclass(frozen=True, slots=True)
class Operated:
    """A keyring, whose it is, and a shell of root, whose own keyring is empty."""

    keyring: Keyring
    uid: int
    passphrase_file: Path | None

    @property
    def hints(self) -> GpgHints:
        return GpgHints(self.keyring.home, self.passphrase_file)

    def say(self, tell: Callable[[GpgHints], str]) -> str:
        """What the agent says, which runs as the user of the keyring."""
        return account_of(self.uid).do(lambda: tell(self.hints))

    def refuse(self, name: str) -> str:
        """What the agent says of a key that it doesn't take."""

        def find(hints: GpgHints) -> str:
            with pytest.raises(SigningError) as caught:
                find_key(name, hints.home, hints.passphrase_file, now())
            return str(caught.value)

        return self.say(find)

    def warn(self, name: str, days: int = 0) -> str:
        """What the agent warns of about a key, so many days from now."""

        def find(hints: GpgHints) -> str:
            key = find_key(name, hints.home, hints.passphrase_file, now())
            return "\n".join(warn(key, now() + timedelta(days=days)))

        return self.say(find)

    def paste(self, said: str, containing: str) -> str:
        """Run a command that stands in a message between backticks."""
        [command] = [found for found in re.findall(r"`([^`]+)`", said) if containing in found]
        with tempfile.TemporaryDirectory() as home:
            environment = {"PATH": os.environ["PATH"], "HOME": home}
            done = subprocess.run(
                ["sh", "-ec", command],
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
        assert done.returncode == 0, (command, done)
        assert {path.lstat().st_uid for path in self.keyring.home.rglob("*")} == {self.uid}, command
        return done.stdout

    def expiries(self) -> dict[str, float]:
        """Fingerprint → in how many days a part of a key expires."""
        parts = [part for key in list_keys(self.keyring.home, secret=False) for part in (key.primary, *key.subkeys)]
        return {part.fingerprint: (part.expires - now()).days for part in parts if part.expires is not None}


@pytest.fixture(params=["root's", "another user's", "another user's, locked"])
def operated(request: pytest.FixtureRequest) -> Iterator[Operated]:
    """A keyring in a directory whose name a shell would take apart."""
    with tempfile.TemporaryDirectory(prefix="pk ", ignore_cleanup_errors=True) as top:
        Path(top).chmod(0o755)
        keyring = Keyring(Path(top) / "it's")
        keyring.home.mkdir(mode=0o700)
        uid = 0 if request.param == "root's" else NOBODY
        passphrase_file = Path(top) / "the secret" if "locked" in request.param else None
        if passphrase_file is not None:
            passphrase_file.write_text(SECRET)
            passphrase_file.chmod(0o600)
            os.chown(passphrase_file, uid, uid)
        os.chown(keyring.home, uid, uid)
        yield Operated(keyring, uid, passphrase_file)
        end_gpg_agent(keyring.home)


def make(operated: Operated, work: Callable[[Keyring, str], str]) -> str:
    """Make a key as the user of the keyring; gives what `work` gives of the keyring and the passphrase."""
    passphrase = SECRET if operated.passphrase_file else ""
    made = account_of(operated.uid).do(lambda: work(operated.keyring, passphrase))
    # Otherwise it would remember the passphrase.
    end_gpg_agent(operated.keyring.home)
    return made


def with_subkey(keyring: Keyring, passphrase: str) -> str:
    """A primary key that expires in a year, and a subkey that signs and expires in six months."""
    primary = keyring.make(use="cert", passphrase=passphrase)
    keyring.add(primary, passphrase=passphrase)
    return primary


def test_a_key_that_expires_soon_is_extended(operated: Operated) -> None:
    primary = make(operated, with_subkey)
    [subkey] = operated.expiries().keys() - {primary}
    operated.paste(operated.warn(primary, days=160), "--quick-set-expire")
    assert operated.expiries()[subkey] > 700 > operated.expiries()[primary]
    operated.paste(operated.warn(primary, days=360), "--quick-set-expire")
    assert operated.expiries()[primary] > 700


def test_a_key_that_has_expired_is_extended_with_its_subkey(operated: Operated) -> None:
    def work(keyring: Keyring, passphrase: str) -> str:
        primary = keyring.make(past=True, passphrase=passphrase)
        return keyring.add(primary, past=True, passphrase=passphrase)

    subkey = make(operated, work)
    operated.paste(operated.refuse(subkey), "--quick-set-expire")
    operated.paste(operated.refuse(subkey), "--quick-set-expire")
    assert operated.warn(subkey).startswith("EdDSA")


def test_both_parts_that_expire_together_are_extended_by_one_paste(operated: Operated) -> None:
    primary = make(operated, with_subkey)
    [subkey] = operated.expiries().keys() - {primary}
    operated.paste(operated.say(lambda hints: hints.extend(primary, {primary: now(), subkey: now()})), "gpg")
    assert min(operated.expiries().values()) > 700


def test_a_key_that_signed_itself_with_sha1_is_renewed(operated: Operated) -> None:
    def work(keyring: Keyring, passphrase: str) -> str:
        keyring.gpg(*unlocked(passphrase), "--cert-digest-algo", "SHA1", "--quick-generate-key", "weak", "rsa3072")
        return keyring.fingerprints()[0]

    weak = make(operated, work)
    operated.paste(operated.warn(weak), "--cert-digest-algo")
    assert operated.warn(weak) == ""


def test_a_disabled_key_is_enabled(operated: Operated) -> None:
    def work(keyring: Keyring, passphrase: str) -> str:
        primary = keyring.make(passphrase=passphrase)
        keyring.gpg("--edit-key", primary, "disable", "save")
        return primary

    disabled = make(operated, work)
    operated.paste(operated.refuse(disabled), "--edit-key")
    assert operated.warn(disabled).startswith("EdDSA")


def test_a_key_that_can_not_sign_gets_a_subkey_and_is_listed(operated: Operated) -> None:
    primary = make(operated, lambda keyring, passphrase: keyring.make(use="cert", passphrase=passphrase))
    operated.paste(operated.refuse(primary), "--quick-add-key")
    assert operated.warn(primary).startswith("the primary key: EdDSA")
    for name in ("nonsense", "0123456789ABCDEF"):
        listed = operated.paste(operated.refuse(name), "--list-secret-keys")
        assert all(part in listed for part in operated.keyring.fingerprints())


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_key_is_written_out_deleted_and_imported_again(
    operated: Operated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_encrypted: bool
) -> None:
    primary = make(operated, with_subkey)
    secret = operated.paste(f"`{operated.say(lambda hints: hints.export_secret_keys([primary]))}`", "gpg")
    # Only root can read it.
    backup = tmp_path / "the backup's"
    backup.write_text(secret)
    backup.chmod(0o600)
    operated.paste(operated.say(lambda hints: hints.delete(primary)), "gpg")
    assert "is not in the keyring" in operated.refuse(primary)
    if is_encrypted:
        with tempfile.TemporaryDirectory(prefix="pk-") as home:
            encrypt = ["gpg", "--homedir", home, "--batch", *unlocked("of the backup"), "--output", f"{backup}.asc"]
            subprocess.run([*encrypt, "--symmetric", str(backup)], check=True)
            end_gpg_agent(Path(home))
        backup = tmp_path / "the backup's.asc"
        # Stands for somebody at a terminal who types it.
        wrapper = tmp_path / "bin/gpg"
        wrapper.parent.mkdir()
        typed = '--batch --pinentry-mode loopback --passphrase "of the backup"'
        wrapper.write_text(
            f'#!/bin/sh\ncase "$*" in *--decrypt*) set -- {typed} "$@" ;; esac\nexec /usr/bin/gpg "$@"\n'
        )
        wrapper.chmod(0o755)
        tmp_path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    operated.paste(operated.say(lambda hints: hints.import_keys(str(backup), is_encrypted=is_encrypted)), "--import")
    end_gpg_agent(operated.keyring.home)
    assert operated.warn(primary).startswith("EdDSA")


def test_whether_a_key_signs_is_tried(operated: Operated) -> None:
    make(operated, with_subkey)
    _, subkey = operated.keyring.fingerprints()
    assert "BEGIN PGP SIGNATURE" in operated.paste(operated.say(lambda hints: hints.sign(subkey)), "gpg")


def test_sudo_is_named_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    (tmp_path / "gpg").symlink_to(shutil.which("gpg") or "gpg")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert GpgHints(tmp_path).list_secret_keys().startswith(f"`runuser -u nobody -- gpg --homedir {tmp_path} --list")
    (tmp_path / "sudo").touch(0o755)
    assert GpgHints(tmp_path).list_secret_keys().startswith(f"`sudo -u nobody gpg --homedir {tmp_path} --list")


def test_a_user_without_a_name_goes_by_the_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="pk-") as top:
        os.chown(top, NAMELESS, NAMELESS)
        operated = Operated(Keyring(Path(top)), NAMELESS, None)
        operated.paste(operated.hints.list_secret_keys(), "gpg")
        end_gpg_agent(Path(top))
    os.chown(tmp_path, NAMELESS, NAMELESS)
    (tmp_path / "sudo").touch(0o755)
    (tmp_path / "gpg").symlink_to(shutil.which("gpg") or "gpg")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert GpgHints(tmp_path).list_secret_keys().startswith(f"`sudo -u '#{NAMELESS}' gpg --homedir {tmp_path} --list")


@pytest.mark.parametrize(
    ("reader", "whose", "prefix"), [(NOBODY, NOBODY, ""), (NOBODY, 0, "root"), (0, NOBODY, "nobody")]
)
def test_a_reader_at_a_terminal_is_told_to_become_another_user_only_where_needed(
    tmp_path: Path, reader: int, whose: int, prefix: str
) -> None:
    os.chown(tmp_path, whose, whose)
    ours, terminal = os.openpty()
    os.fchown(terminal, reader, reader)
    show = "import sys; from packrat_agent.gpg.hints import GpgHints; from pathlib import Path"
    command = [sys.executable, "-c", f"{show}; print(GpgHints(Path(sys.argv[1])).list_secret_keys())", str(tmp_path)]
    try:
        said = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=True).stdout
    finally:
        os.close(ours)
        os.close(terminal)
    before = said.removeprefix("`").partition("gpg --homedir")[0]
    assert prefix in before
    assert bool(before) == bool(prefix)
