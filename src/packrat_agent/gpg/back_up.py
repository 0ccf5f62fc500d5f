"""Writes out secret keys with their revocation certificates, and proves that they can be read back."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from packrat_agent.gpg.agent_program import run_with_agent
from packrat_agent.gpg.listed_keys import list_keys
from packrat_agent.gpg.run import read_home, run_gpg, stop_gpg_agent, unlock_options
from packrat_core.errors import SigningError
from packrat_core.fs.open import read_given
from packrat_core.fs.ownership import explain_unread

_REVOCATIONS = "openpgp-revocs.d"
_PASSPHRASE_LIMIT = 1 << 20
_ELSEWHERE = "a key on a card or behind another host's gpg-agent is backed up there"


def export_secret(signing: Mapping[str, str], home: Path | None, passphrase_file: Path | None) -> bytes:
    """Export secret keys, armored, with the revocation certificates that gpg made with them.

    A certificate has a colon before its first line, so that importing the backup revokes nothing.

    Args:
        signing: The fingerprint of each part that signs → that of its primary key.
        home: The directory of the keyring; None for this user's own.
        passphrase_file: Holds the passphrase of the keys; None for keys without one.

    Raises:
        SigningError: gpg does not give them out, as with a key on a card or behind another host's agent.
    """
    primaries = list(dict.fromkeys(signing.values()))
    exported = run_with_agent(home, *unlock_options(passphrase_file), "--armor", "--export-secret-keys", *primaries)
    if exported.returncode != 0 or not exported.output:
        raise SigningError(
            f"gpg does not give out the secret keys: {exported.reason or 'no reason given'}",
            hint=_ELSEWHERE,
        )
    _prove(exported.output, signing)
    parts = [exported.output]
    for primary in primaries:
        with suppress(OSError):
            parts.append((read_home(home) / _REVOCATIONS / f"{primary}.rev").read_bytes())
    return b"\n".join(parts)


def encrypt(data: bytes, passphrase_file: Path) -> bytes:
    """Encrypt data with a passphrase; `gpg --decrypt` asks for that.

    Raises:
        SigningError: gpg can't read the passphrase, or fails.
    """
    try:
        passphrase = read_given(passphrase_file, _PASSPHRASE_LIMIT)
    except OSError as error:
        raise SigningError(
            f"{passphrase_file} can't be read: {explain_unread(passphrase_file, error)}",
            hint="give a file with the passphrase, on one line",
        ) from None
    if not passphrase.strip():
        raise SigningError(f"{passphrase_file} holds no passphrase", hint="write one into it, on one line")
    with tempfile.TemporaryDirectory(prefix="pb-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        try:
            unlock = unlock_options(passphrase_file)
            made = run_gpg(home, *unlock, "--armor", "--cipher-algo", "AES256", "--symmetric", data=data)
        finally:
            stop_gpg_agent(home)
    if made.returncode != 0 or not made.output:
        raise SigningError(
            f"gpg can't encrypt the backup: {made.reason or 'no reason given'}",
            hint=f"try another passphrase in {passphrase_file}, or leave --encrypt-with out",
        )
    return made.output


def _prove(exported: bytes, signing: Mapping[str, str]) -> None:
    """Import a backup into a keyring of its own.

    Raises:
        SigningError: It lacks a part that signs, or only refers to it.
    """
    with tempfile.TemporaryDirectory(prefix="pb-", ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        try:
            run_gpg(home, "--import", data=exported)
            parts = [part for key in list_keys(home, secret=True) for part in (key.primary, *key.subkeys)]
        finally:
            stop_gpg_agent(home)
    # gpg exports a secret part that it does not have, too: as a stub, which signs nothing.
    read = {part.fingerprint for part in parts if part.is_on_disk}
    missing = [part for part in signing if part not in read]
    if missing:
        raise SigningError(
            f"the backup can't be read back: it lacks the secret part of {', '.join(missing)}; nothing was written",
            hint=_ELSEWHERE,
        )
