"""Makes signatures with exactly the operator's key, and verifies each before anybody else sees it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.gpg.agent_program import explain_no_agent, run_with_agent
from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.key_files import armor, dearmor
from packrat_agent.gpg.listed_keys import list_keys
from packrat_agent.gpg.run import GpgResult, unlock_options
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.verdict import lines_of
from packrat_agent.gpg.verify import message_verifies, verifies, verifies_by_all
from packrat_agent.model.tree import SignatureForm
from packrat_core.errors import PackratError, SigningError
from packrat_core.fs.file_tail import FileTail
from packrat_core.fs.open import read_given
from packrat_core.fs.ownership import first_unusable

_COMMANDS = {
    SignatureForm.CLEAR: ("--clear-sign",),
    SignatureForm.ARMOR: ("--armor", "--detach-sign"),
    # gpg.conf may ask for armor.
    SignatureForm.BINARY: ("--no-armor", "--detach-sign"),
    SignatureForm.OPAQUE: ("--sign",),
}
_KEY_TROUBLE = "secret key"
"""Part of what gpg says of a key that is missing ("No secret key"), expired or revoked ("Unusable secret key")."""

_PASSPHRASE_LIMIT = 64 << 10
_TRIAL = b"packrat-agent: trial signature\n"


def make_signature(
    key: SigningKey, data: bytes, form: SignatureForm, *, digest: str = "SHA512", moment_s: int | None = None
) -> bytes:
    """Sign data with exactly this key, and verify what came out.

    Args:
        key: The only key that may sign.
        data: What to sign.
        form: How the signature and the data stand together.
        digest: The hash algorithm, by gpg's name.
        moment_s: The time that the signature bears, in epoch seconds; None for now.

    Raises:
        SigningError: gpg fails, signs with another key, or its signature does not verify.
    """
    return make_signatures((key,), data, form, digest=digest, moment_s=moment_s)


def make_signatures(
    keys: Sequence[SigningKey], data: bytes, form: SignatureForm, *, digest: str = "SHA512", moment_s: int | None = None
) -> bytes:
    """Sign data with exactly these keys, in one file, and verify what came out.

    Args:
        keys: The only keys that may sign; they are in one keyring.
        data: What to sign.
        form: How the signatures and the data stand together.
        digest: The hash algorithm, by gpg's name.
        moment_s: The time that the signatures bear, in epoch seconds; None for now.

    Raises:
        SigningError: gpg fails, signs with another key, or a signature does not verify.
    """
    made = _sign(keys, data, form, digest, moment_s)
    if form in (SignatureForm.CLEAR, SignatureForm.OPAQUE):
        is_good = message_verifies(keys, data, made, is_text=form is SignatureForm.CLEAR)
    else:
        is_good = verifies_by_all(keys, data, made)
    if not is_good:
        raise _not_verified(keys)
    return made


def make_tail_signature(key: SigningKey, data: FileTail, *, digest: str, moment_s: int) -> bytes:
    """Sign the rest of a file with exactly this key, in binary form, and verify what came out.

    Args:
        key: The only key that may sign.
        data: What to sign.
        digest: The hash algorithm, by gpg's name.
        moment_s: The time that the signature bears, in epoch seconds.

    Raises:
        SigningError: gpg fails, signs with another key, or its signature does not verify.
    """
    made = _sign((key,), data, SignatureForm.BINARY, digest, moment_s)
    if not verifies(key, data, made):
        raise _not_verified((key,))
    return made


def make_detached(keys: Sequence[SigningKey], data: bytes) -> Mapping[SignatureForm, bytes]:
    """Sign data once, apart from it, and give the signature in both forms that this can have.

    Args:
        keys: The only keys that may sign; they are in one keyring.
        data: What to sign.

    Raises:
        SigningError: gpg fails, signs with another key, or a signature does not verify.
    """
    binary = _sign(keys, data, SignatureForm.BINARY, "SHA512", None)
    armored = armor(binary, "SIGNATURE")
    # gpg verifies the armored form, and the other one is what that one holds.
    if not verifies_by_all(keys, data, armored) or dearmor(armored) != binary:
        raise _not_verified(keys)
    return {SignatureForm.BINARY: binary, SignatureForm.ARMOR: armored}


def _sign(
    keys: Sequence[SigningKey], data: bytes | FileTail, form: SignatureForm, digest: str, moment_s: int | None
) -> bytes:
    """Have gpg make signatures, which are not verified yet; the arguments are those of `make_signatures`."""
    key = keys[0]
    # gpg's --default-key, and a name without `!`, sign with another key without a word if this one can't.
    signers = [option for signer in keys for option in ("--local-user", f"{signer.fingerprint}!")]
    # The `!` stops gpg's clock at that time.
    time = () if moment_s is None else ("--faked-system-time", f"{moment_s}!")
    options = (*signers, "--digest-algo", digest, *time, *unlock_options(key.passphrase_file))
    made = run_with_agent(key.home, *options, *_COMMANDS[form], data=data)
    if made.returncode != 0 or not _is_by(keys, made) or not made.output:
        raise _explain_failure(keys, made)
    return made.output


def _not_verified(keys: Sequence[SigningKey]) -> SigningError:
    # The key may have expired in between.
    return _find_change(keys) or SigningError(
        f"the signature that gpg made with {_name(keys)} does not verify; nothing was published",
        hint="check whether the gpg in PATH is the system's own, and check the disk and memory of this machine",
    )


def try_key(key: SigningKey) -> None:
    """Make a signature that nobody needs, to learn now whether the key works.

    Raises:
        SigningError: As `make_signature`.
    """
    make_signature(key, _TRIAL, SignatureForm.BINARY)


def explain_closed_home(home: Path | None) -> str | None:
    """Name a part of the keyring's home that this user may not use; None if there is none, or the home is its own."""
    try:
        return first_unusable(home) if home is not None else None
    except OSError:
        return None


def _signers(made: GpgResult) -> list[str]:
    """Name the keys that signed: `local-user` in gpg.conf adds others to the one on the command line."""
    return [line.split()[-1] for line in lines_of(made.status) if line.startswith("[GNUPG:] SIG_CREATED ")]


def _is_by(keys: Sequence[SigningKey], made: GpgResult) -> bool:
    return sorted(_signers(made)) == sorted(key.fingerprint for key in keys)


def _name(keys: Sequence[SigningKey]) -> str:
    return " and ".join(key.fingerprint for key in keys)


def _explain_failure(keys: Sequence[SigningKey], made: GpgResult) -> PackratError:
    key = keys[0]
    # gpg has succeeded, so its messages explain nothing.
    if made.returncode == 0 and not _is_by(keys, made):
        others = ", ".join(_signers(made)) or "nothing"
        return SigningError(
            f"gpg signed with {others}, not with the configured {_name(keys)} alone; nothing was published",
            hint="remove default keys and local-user from gpg.conf",
        )
    if _is_locked(made):
        what = "it has a passphrase"
        if key.passphrase_file is not None:
            what = f"the passphrase in passphrase_file is wrong{_find_unseen(key.passphrase_file)}"
        return SigningError(
            f"the signing key {_name(keys)} is locked: {what}",
            hint="set passphrase_file to a file (mode 0600) with it",
        )
    closed = explain_closed_home(key.home)
    if closed is None and (found := _find_reason(keys, made)) is not None:
        return found
    if closed is not None:
        return SigningError(f"gpg can't sign with {_name(keys)}: {closed}")
    trial = GpgHints(key.home, key.passphrase_file).sign(key.fingerprint)
    return SigningError(f"gpg can't sign with {_name(keys)}: {made.reason or 'no reason given'}", hint=f"try {trial}")


def _find_unseen(passphrase_file: Path) -> str:
    """Name what gpg takes for a part of the passphrase, and an editor does not show."""
    try:
        line = read_given(passphrase_file, _PASSPHRASE_LIMIT).partition(b"\n")[0]
    except OSError:
        return ""
    if line.startswith(b"\xef\xbb\xbf"):
        return ": the file begins with a byte order mark"
    if line.endswith(b"\r"):
        return ": its line ends as on Windows, in CR LF"
    return ": its line begins or ends with a space" if line != line.strip() else ""


def _is_locked(made: GpgResult) -> bool:
    # No status line tells a locked key apart in all versions of gpg, so the messages are searched too.
    printed = f"{made.status}{made.messages}"
    return any(word in printed.lower() for word in ("pinentry", "cancelled")) or any(
        words in printed for words in ("No passphrase", "Bad passphrase")
    )


def _find_reason(keys: Sequence[SigningKey], made: GpgResult) -> PackratError | None:
    """Look for what gpg says little of: a gpg-agent that is missing, or a key that has changed."""
    no_agent = explain_no_agent(keys[0].home) if "No agent running" in made.messages else None
    if no_agent is not None:
        return no_agent
    return _find_change(keys) if _KEY_TROUBLE in made.messages.lower() else None


def _find_change(keys: Sequence[SigningKey]) -> SigningError | None:
    return next(filter(None, map(_explain_change, keys)), None)


def _explain_change(key: SigningKey) -> SigningError | None:
    """Say why a key that was good when it was found is not any more: gpg says little of it."""
    hints = GpgHints(key.home, key.passphrase_file)
    listed = next((found for found in list_keys(key.home, secret=True) if key.fingerprint in found.fingerprints), None)
    if listed is None:
        where = f"the keyring in {key.home}" if key.home else "the default keyring of this user"
        return SigningError(
            f"the signing key {key.fingerprint} is no longer in {where} with its secret part",
            hint=f"import the secret key ({hints.import_keys('secret-key.asc')}), or set gnupg_home",
        )
    now = datetime.now(UTC)
    for part in (listed.primary, *listed.subkeys):
        # The secret part of a primary key may be kept offline while its subkeys sign.
        is_needed = part.fingerprint == key.fingerprint or (part is listed.primary and part.has_secret)
        reason = part.why_unusable(now, key.primary, hints) if is_needed else None
        if reason is not None:
            return SigningError(f"the signing key {part.fingerprint} {reason}")
    return None
