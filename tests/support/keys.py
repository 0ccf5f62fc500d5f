"""Signing keys, each in a GNUPGHOME of its own that goes with its gpg-agent when the test ends."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Key:
    """A signing key in a GNUPGHOME of its own."""

    home: Path
    fingerprint: str


@contextmanager
def gnupg_home() -> Iterator[Path]:
    """Make an empty GNUPGHOME; its path is short, as gpg-agent's sockets need."""
    with tempfile.TemporaryDirectory(prefix="pk-", ignore_cleanup_errors=True) as home:
        try:
            yield Path(home)
        finally:
            end_gpg_agent(Path(home))


def end_gpg_agent(home: Path) -> None:
    """End the programs that gpg started for a GNUPGHOME, with the passphrases that they remember."""
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


@contextmanager
def new_key(name: str, kind: str = "ed25519") -> Iterator[Key]:
    """Make a signing key without a passphrase that lasts as long as the context."""
    with gnupg_home() as home:
        yield make_key(home, name, kind)


def make_key(home: Path, name: str, kind: str = "ed25519", expires: str = "never", faked_time: str = "") -> Key:
    """Make a signing key without a passphrase.

    Args:
        home: the GNUPGHOME.
        name: the user ID, which no other key in it may have.
        kind: the algorithm, as gpg spells it.
        expires: when, as gpg spells it.
        faked_time: the time at which it was made, as 20200101T000000; now if empty.

    Returns:
        The key.
    """
    gpg = ["gpg", "--homedir", str(home), "--batch", "--passphrase", ""]
    gpg += ["--faked-system-time", faked_time] if faked_time else []
    subprocess.run([*gpg, "--quick-generate-key", name, kind, "sign", expires], check=True, capture_output=True)
    return Key(home, fingerprint_of(home, name))


def fingerprint_of(home: Path, name: str) -> str:
    """Find the fingerprint of a secret key by its user ID."""
    gpg = ["gpg", "--homedir", str(home), "--batch", "--list-secret-keys", "--with-colons", name]
    listed = subprocess.run(gpg, check=True, capture_output=True, text=True).stdout
    return next(line for line in listed.splitlines() if line.startswith("fpr:")).split(":")[9]
