"""A keyring of gpg's own, with keys of every sort."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.signing_key import SigningKey
from packrat_core.errors import SigningError
from support.keys import end_gpg_agent, gnupg_home


def now() -> datetime:
    """Tell the time; one of the start would lie before keys that are made later."""
    return datetime.now(UTC)


LONG_AGO = "20200101T000000"


@dataclass(frozen=True, slots=True)
class Keyring:
    """A GNUPGHOME for one test."""

    home: Path

    def gpg(self, *arguments: str, data: bytes | None = None) -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", *arguments]
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def make(self, *, use: str = "sign", kind: str = "ed25519", passphrase: str = "", past: bool = False) -> str:
        """Make a key and give its fingerprint; `past`: one that was made long ago for a year."""
        faked = ["--faked-system-time", LONG_AGO] if past else []
        before = set(self.fingerprints())
        self.gpg(*faked, *unlocked(passphrase), "--quick-generate-key", f"{kind} {len(before)}", kind, use, "1y")
        (made,) = set(self.fingerprints()) - before
        return made

    def add(
        self, primary: str, *, use: str = "sign", passphrase: str = "", past: bool = False, kind: str = "ed25519"
    ) -> str:
        """Add a subkey and give its fingerprint."""
        faked = ["--faked-system-time", LONG_AGO] if past else []
        kind = "cv25519" if use == "encr" else kind
        before = set(self.fingerprints())
        self.gpg(*faked, *unlocked(passphrase), "--quick-add-key", primary, kind, use, "6m")
        (made,) = set(self.fingerprints()) - before
        return made

    def fingerprints(self) -> list[str]:
        """Of all keys and subkeys, in the order of the keyring."""
        listed = self.gpg("--list-keys", "--with-colons", "--with-subkey-fingerprint").decode()
        return [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]

    def find(self, name: str, passphrase_file: Path | None = None) -> SigningKey:
        return find_key(name, self.home, passphrase_file, now())

    def refuses(self, name: str, passphrase_file: Path | None = None) -> str:
        """What find_key says of a key that it doesn't take."""
        with pytest.raises(SigningError) as caught:
            self.find(name, passphrase_file)
        assert caught.value.exit_code == 6
        return str(caught.value)

    def forget_passphrases(self) -> None:
        end_gpg_agent(self.home)


def unlocked(passphrase: str) -> list[str]:
    return ["--pinentry-mode", "loopback", "--passphrase", passphrase]


@contextmanager
def keyring() -> Iterator[Keyring]:
    """Make an empty keyring; its path is short, as gpg-agent's sockets need."""
    with gnupg_home() as home:
        yield Keyring(home)
