"""Exports a signing subkey as a key of its own, for clients that don't look at subkeys.

The primary key of the export is the subkey: it has the same fingerprint, and the export has the same bytes each time.
gpg makes it in a temporary home with a link to the operator's secret keys, which are not copied.

Source: RFC 4880, section 12.2: a fingerprint does not tell a key from a subkey; the manual of GnuPG, "Unattended key
generation", `Key-Grip`; containers/image, pull request 2905: before it, only primary keys are believed.
"""

import tempfile
from pathlib import Path

from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.listed_keys import list_keys
from packrat_agent.gpg.run import read_home, run_gpg, stop_gpg_agent, unlock_options
from packrat_agent.gpg.signing_key import SigningKey
from packrat_core.errors import SigningError

_KEYS_DIR = "private-keys-v1.d"


def export_standalone(key: SigningKey) -> bytes:
    """Export the signing subkey as an armored key of its own, which expires when the key does.

    Raises:
        SigningError: gpg can't make it of this key.
    """
    created_s, grip = _describe(key)
    with tempfile.TemporaryDirectory(prefix="pa-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        (home / _KEYS_DIR).symlink_to(read_home(key.home) / _KEYS_DIR)
        lifetime = f"seconds={int(key.expires.timestamp()) - created_s}" if key.expires is not None else "0"
        wanted = (
            f"Key-Type: {key.algorithm}\nKey-Grip: {grip}\nKey-Usage: sign\n"
            f"Name-Real: signing subkey of {key.primary}\nExpire-Date: {lifetime}\n%commit\n"
        )
        unlock = unlock_options(key.passphrase_file)
        try:
            _gpg(key, home, *unlock, "--faked-system-time", f"{created_s}!", "--generate-key", data=wanted.encode())
            # Empty if gpg gave the key another creation time, and so another fingerprint.
            exported = _gpg(key, home, "--armor", "--export", f"{key.fingerprint}!")
        finally:
            stop_gpg_agent(home)
    if not exported:
        raise SigningError(
            f"gpg can't show {key.fingerprint} as a key of its own, which rpm needs for its signatures",
            hint="make a key that signs without a subkey, `packrat-agent key new --without-subkey`",
        )
    return exported


def _describe(key: SigningKey) -> tuple[int, str]:
    """Give when the key was made, in epoch seconds, and its keygrip: the name that gpg-agent has for it.

    Raises:
        SigningError: gpg does not list the key.
    """
    for listed in list_keys(key.home, secret=False, name=key.primary):
        for part in (listed.primary, *listed.subkeys):
            if part.fingerprint == key.fingerprint and part.keygrip:
                return part.created_s, part.keygrip
    raise SigningError(f"gpg does not list {key.fingerprint}", hint="check whether this user may read the keyring")


def _gpg(key: SigningKey, home: Path, *arguments: str, data: bytes = b"") -> bytes:
    """Run gpg on the temporary keyring.

    Args:
        key: The key that is exported, for messages.
        home: The directory of the temporary keyring.
        arguments: Options and command.
        data: What gpg reads from stdin.

    Raises:
        SigningError: gpg fails.
    """
    done = run_gpg(home, *arguments, data=data)
    if done.returncode != 0:
        trial = GpgHints(key.home, key.passphrase_file).sign(key.fingerprint)
        raise SigningError(
            f"gpg can't show the signing subkey as a key of its own: {done.reason or 'no reason given'}",
            hint=f"check whether {trial} works, or let the primary key sign",
        )
    return done.output
