"""Shows a signing subkey as a key of its own, for clients that know no subkeys.

Takes: a SigningKey.
Gives: a public key whose primary key is what signs: of the same fingerprint, and the same bytes each time.
Touches: gpg; a temporary GnuPG home that leads to the operator's secret keys, which are not copied.

Source: RFC 4880, section 12.2: a fingerprint does not tell a key from a subkey; the manual of GnuPG, "Unattended key
generation", `Key-Grip`; containers/image, pull request 2905: before it, only primary keys are believed.
"""

import subprocess
import tempfile
from pathlib import Path

from packrat_agent.gpg.keyring import SigningKey
from packrat_core.errors import SigningError

_KEYS_DIR = "private-keys-v1.d"


def export_standalone(key: SigningKey) -> bytes:
    """Export what signs as an armored key of its own, which expires when the key does.

    Raises: SigningError where gpg can't make it of this key.
    """
    created_s, grip = _describe(key)
    with tempfile.TemporaryDirectory(prefix="pa-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        (home / _KEYS_DIR).symlink_to(_home_of(key) / _KEYS_DIR)
        lifetime = f"seconds={int(key.expires.timestamp()) - created_s}" if key.expires is not None else "0"
        wanted = (
            f"Key-Type: {key.algorithm}\nKey-Grip: {grip}\nKey-Usage: sign\n"
            f"Name-Real: signing subkey of {key.primary}\nExpire-Date: {lifetime}\n%commit\n"
        )
        unlock = ["--pinentry-mode", "error"]
        if key.passphrase_file is not None:
            unlock = ["--pinentry-mode", "loopback", "--passphrase-file", str(key.passphrase_file)]
        try:
            _gpg(home, *unlock, "--faked-system-time", f"{created_s}!", "--generate-key", data=wanted)
            # None where the moment that the key was made at is another.
            exported = _gpg(home, "--armor", "--export", f"{key.fingerprint}!")
        finally:
            command = ["gpgconf", "--homedir", scratch, "--kill", "all"]
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if not exported:
        raise SigningError(f"gpg can't show {key.fingerprint} as a key of its own")
    return exported.encode()


def _describe(key: SigningKey) -> tuple[int, str]:
    """When what signs was made, in epoch seconds, and what gpg-agent calls it.

    Source: doc/DETAILS of GnuPG, "Format of the colon listings".
    """
    created, fingerprint = "", ""
    for line in _gpg(key.home, "--with-colons", "--with-keygrip", "--list-keys", key.primary).splitlines():
        fields = line.split(":")
        if fields[0] in ("pub", "sub"):
            created = fields[5]
        elif fields[0] == "fpr":
            fingerprint = fields[9]
        elif fields[0] == "grp" and fingerprint == key.fingerprint:
            return int(created), fields[9]
    raise SigningError(f"gpg does not list {key.fingerprint}; is the keyring readable?")


def _home_of(key: SigningKey) -> Path:
    if key.home is not None:
        return key.home
    listed = subprocess.run(["gpgconf", "--list-dirs", "homedir"], capture_output=True, text=True, check=False)
    return Path(listed.stdout.strip())


def _gpg(home: Path | None, *arguments: str, data: str = "") -> str:
    command = ["gpg", *(("--homedir", str(home)) if home is not None else ()), "--batch", "--no-tty", *arguments]
    done = subprocess.run(command, input=data, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = " / ".join(done.stderr.strip().splitlines()[-2:])
        raise SigningError(f"gpg can't show the signing subkey as a key of its own: {said or 'no reason given'}")
    return done.stdout
