"""The commands of docs/signing.md, run as they stand there, and what the agent makes of their keys."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from packrat_agent.gpg.key_warnings import warn
from packrat_agent.gpg.keyring import export_public, find_key
from packrat_agent.gpg.signatures import make_signature
from packrat_agent.model.tree import SignatureForm

_DOC = (Path(__file__).parents[2] / "docs/signing.md").read_text()
_HOME = "/var/lib/packratAgent"


def _commands(heading: str, number: int = 0) -> str:
    """The `number`th block of shell commands below a heading."""
    section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^## |^### |\Z)", _DOC, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    return str(re.findall(r"```sh\n(.*?)```", section[1], re.DOTALL)[number])


@pytest.fixture
def home() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="sd-", dir="/tmp"))
    (directory / "gnupg").mkdir(mode=0o700)
    yield directory
    subprocess.run(["gpgconf", "--homedir", directory / "gnupg", "--kill", "all"], check=True)
    shutil.rmtree(directory, ignore_errors=True)


def _run(home: Path, *blocks: str) -> str:
    """Run the blocks in one shell, with `home` for the agent's directory; gives what they print."""
    script = "\n".join(["set -euo pipefail", *blocks]).replace(_HOME, str(home))
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _subkeys(listing: str) -> list[str]:
    return re.findall(r"^ssb#?\s.*\[S\].*\n\s+([0-9A-F]{40})$", listing, re.MULTILINE)


def test_the_key_of_the_instructions_signs_with_its_subkey(home: Path) -> None:
    (subkey,) = _subkeys(_run(home, _commands("Make a key", 2)))
    now = datetime.now(UTC)
    for name in (subkey, subkey[-16:], subkey[-8:]):
        key = find_key(name, home / "gnupg", None, now)
        assert (key.fingerprint, key.algorithm, key.bits) == (subkey, "RSA", 3072)
        assert warn(key, now) == ()
    assert find_key(key.primary, home / "gnupg", None, now).fingerprint == subkey


def test_the_ed25519_key_of_the_instructions_signs(home: Path) -> None:
    assert _commands("Make a key", 2).count("rsa3072") == 2
    (subkey,) = _subkeys(_run(home, _commands("Make a key", 2).replace("rsa3072", "ed25519")))
    assert find_key(subkey, home / "gnupg", None, datetime.now(UTC)).algorithm == "EdDSA"


def test_the_key_with_a_passphrase_signs_with_its_file(home: Path) -> None:
    listing = _run(home, _commands("With a passphrase"), "gpg --list-secret-keys --with-subkey-fingerprint")
    passphrase = home / "passphrase"
    assert passphrase.stat().st_mode & 0o077 == 0
    # Forget what the agent of gpg has cached: only the file counts.
    subprocess.run(["gpgconf", "--homedir", home / "gnupg", "--kill", "all"], check=True)
    (subkey,) = _subkeys(listing)
    assert find_key(subkey, home / "gnupg", passphrase, datetime.now(UTC)).fingerprint == subkey


def test_the_backup_restores_the_key_and_the_primary_may_leave(home: Path) -> None:
    make, (save, restore, remove) = _commands("Make a key", 2), (_commands("Back it up", n) for n in range(3))
    shown = "gpg --list-secret-keys --with-subkey-fingerprint"
    before = _subkeys(_run(home, make, save, remove))
    reduced = _run(home, "export GNUPGHOME=/var/lib/packratAgent/gnupg", shown)
    assert "sec#" in reduced
    assert "BEGIN PGP PUBLIC KEY BLOCK" in (home / "backup-revocation.rev").read_text()
    assert find_key(before[0], home / "gnupg", None, datetime.now(UTC)).fingerprint == before[0]
    for name in ("gnupg", "other"):
        (home / name).mkdir(mode=0o700, exist_ok=True)
        restored = _run(home, f"export GNUPGHOME=/var/lib/packratAgent/{name}", restore, shown)
        assert "sec#" not in restored
        assert _subkeys(restored) == before
    subprocess.run(["gpgconf", "--homedir", home / "other", "--kill", "all"], check=True)


def test_the_key_is_extended_before_it_expires(home: Path) -> None:
    shorter = _commands("Make a key", 2).replace("sign 2y", "sign 3d")
    (subkey,) = _subkeys(_run(home, shorter))
    now = datetime.now(UTC)
    (warning,) = warn(find_key(subkey, home / "gnupg", None, now), now)
    assert "expires" in warning
    who = _commands("Make a key", 2).splitlines()
    again = [line for line in who if line.startswith(("export ", "WHO=", "KEY="))]
    _run(home, *again, _commands("When it expires"))
    extended = find_key(subkey, home / "gnupg", None, now)
    assert extended.expires is not None
    assert extended.expires - now > timedelta(days=700)
    assert warn(extended, now) == ()


def test_a_new_subkey_is_published_before_it_signs(home: Path) -> None:
    make = _commands("Make a key", 2)
    add = re.search(r"^1\. Add a subkey: `(.*)`$", _DOC, re.MULTILINE)
    assert add is not None
    listing = _run(home, make, add[1], "gpg --list-secret-keys --with-subkey-fingerprint")
    old, new = dict.fromkeys(_subkeys(listing))
    now = datetime.now(UTC)
    pinned = find_key(old, home / "gnupg", None, now)
    assert pinned.fingerprint == old
    # A client with the key file of today accepts the signatures of tomorrow.
    (home / "repo-key.gpg").write_bytes(export_public(pinned).binary)
    (home / "data").write_bytes(b"text")
    (home / "data.sig").write_bytes(
        make_signature(find_key(new, home / "gnupg", None, now), b"text", SignatureForm.BINARY)
    )
    command = ["gpgv", "--keyring", *(f"{home}/{name}" for name in ("repo-key.gpg", "data.sig", "data"))]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
