"""Fixtures that tests of several folders share."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgres import Cluster, cluster
from support.stage import Key, Stage, stage


def make_key(home: Path, name: str, kind: str = "ed25519") -> Key:
    """Make a signing key without a passphrase."""
    gpg = ["gpg", "--homedir", str(home), "--batch"]
    subprocess.run(
        [*gpg, "--passphrase", "", "--quick-generate-key", name, kind, "sign", "never"], check=True, capture_output=True
    )
    return Key(home, fingerprint_of(home, name))


def fingerprint_of(home: Path, name: str) -> str:
    """The fingerprint of a secret key."""
    gpg = ["gpg", "--homedir", str(home), "--batch", "--list-secret-keys", "--with-colons", name]
    listed = subprocess.run(gpg, check=True, capture_output=True, text=True).stdout
    return next(line for line in listed.splitlines() if line.startswith("fpr:")).split(":")[9]


@pytest.fixture(scope="session")
def key() -> Iterator[Key]:
    """A signing key; its home has a short path, as gpg-agent's sockets need."""
    with tempfile.TemporaryDirectory(prefix="pk-", ignore_cleanup_errors=True) as home:
        yield make_key(Path(home), "Test Mirror <mirror@example.com>")
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server; each test makes its own database in it."""
    with cluster() as made:
        yield made


@pytest.fixture
def lab(tmp_path: Path, key: Key) -> Iterator[Stage]:
    """A signed mirror of a new server, nothing in it yet."""
    with stage(tmp_path, key) as set_up:
        yield set_up
