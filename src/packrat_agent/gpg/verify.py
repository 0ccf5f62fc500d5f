"""Checks that a signature is a valid one of exactly one key."""

from collections.abc import Sequence

from packrat_agent.gpg.run import GpgResult, file_of, run_gpg, run_gpgv_on
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.verdict import lines_of, read_verdict
from packrat_core.errors import SigningError
from packrat_core.fs.file_tail import FileTail

_VALID = "[GNUPG:] VALIDSIG "
_WITHOUT_TRUST = ("--trust-model", "always")
"""The key is known by its fingerprint, so no web of trust counts. With one, the first gpg after a change of the keyring
checks all of it behind a lock, for which the others wait in steps of 50, 100, 200 milliseconds and so on."""
_KEYRING = "pubring.kbx"
_KEYBOXD = "public-keys.d"
_LINE_ENDS = b" \t\r\n"
_CLEAR_HEAD = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
_ARMOR_HEAD = b"-----BEGIN PGP SIGNATURE-----\n"
_ARMOR_END = b"\n-----END PGP SIGNATURE-----\n"
_DASHES = b"-----"


def verifies(key: SigningKey, data: bytes | FileTail, signature: bytes) -> bool:
    """Tell whether a detached signature of `data` is a valid one of exactly this key.

    Args:
        key: The only key that may have made it.
        data: What is signed.
        signature: Armored or binary.

    Raises:
        SigningError: gpg can't be used.
    """
    return verifies_by_all((key,), data, signature)


def verifies_by_all(keys: Sequence[SigningKey], data: bytes | FileTail, signature: bytes) -> bool:
    """Tell whether detached signatures of `data` in one file are valid, one of each of these keys and of no other.

    Args:
        keys: The keys, of one keyring.
        data: What is signed.
        signature: Armored or binary.

    Raises:
        SigningError: gpg can't be used.
    """
    with file_of(signature) as file:
        descriptor = file.fileno()
        if _is_proven(keys, data, f"-&{descriptor}", "-", passed=(descriptor,)):
            return True
    return _is_of(keys, _verify(keys[0], data, signature))


def verifies_by_family(
    key: SigningKey, data: bytes | FileTail, signature: bytes, others: frozenset[str] = frozenset()
) -> bool:
    """Tell whether a detached signature is a valid one of this key, of its primary key or of a sister subkey.

    A client that trusts the public key trusts all of these.

    Args:
        key: The key that signs now.
        data: What is signed.
        signature: Armored or binary.
        others: The fingerprints of other keys of the same keyring that count too, also after they have expired.

    Raises:
        SigningError: gpg can't be used.
    """
    verified = _verify(key, data, signature)
    verdict = read_verdict(verified.status)
    # The last word is the fingerprint of the primary key. Source: doc/DETAILS of GnuPG, VALIDSIG.
    words = [line.removeprefix(_VALID).split() for line in lines_of(verified.status) if line.startswith(_VALID)]
    family = {made_by[0] for made_by in words if made_by[-1] == key.primary}
    # One signature of ours is proof, whatever others there are: two keys sign while one takes over from the other.
    proves = family.union(others).intersection(verdict.signers) or others.intersection(verdict.expired)
    return bool(proves) and not verdict.is_bad


def message_verifies(keys: Sequence[SigningKey], data: bytes, message: bytes, *, is_text: bool) -> bool:
    """Tell whether a signed message holds `data`, and is validly signed by each of these keys and by no other.

    Args:
        keys: The keys, of one keyring.
        data: What the message has to say.
        message: The data and its signature in one.
        is_text: It is clear-signed. Such a signature does not cover blanks at the ends of lines.

    Raises:
        SigningError: gpg can't be used.
    """
    if is_text and holds_as_it_is(message, data):
        # Writing the text takes gpg twice as long as verifying it.
        return _is_proven(keys, message) or _is_of(
            keys, run_gpg(keys[0].home, *_WITHOUT_TRUST, "--verify", data=message)
        )
    if not is_text and _is_proven(keys, message, says=data):
        return True
    verified = run_gpg(keys[0].home, *_WITHOUT_TRUST, "--output", "-", "--verify", data=message)
    if not _is_of(keys, verified):
        return False
    return _without_blanks(verified.output) == _without_blanks(data) if is_text else verified.output == data


def holds_as_it_is(message: bytes, data: bytes) -> bool:
    """Tell whether a clear-signed message is the usual head, exactly this text, one signature and nothing else.

    Then no reader can take another text out of it. A text with lines that such a message has to escape is not found.
    """
    end = len(_CLEAR_HEAD) + len(data)
    armor = message[end:]
    return (
        message.startswith(_CLEAR_HEAD)
        and message[len(_CLEAR_HEAD) : end] == data
        and data.endswith(b"\n")
        and not (data.startswith(b"-") or b"\n-" in data)
        and armor.startswith(_ARMOR_HEAD)
        and armor.endswith(_ARMOR_END)
        # What begins and ends it, and no second one in it.
        and armor.count(_DASHES) == 2 * armor.count(b"PGP SIGNATURE") == 4
    )


def _is_proven(
    keys: Sequence[SigningKey],
    data: bytes | FileTail,
    *files: str,
    passed: Sequence[int] = (),
    says: bytes | None = None,
) -> bool:
    """Tell whether gpgv finds the signatures to be of these keys and of no other; it starts in half the time of gpg.

    If not, gpg decides: it finds keys that stand elsewhere, and the caller may want its reasons.

    Args:
        keys: The keys, of one keyring.
        data: What gpgv reads from stdin.
        files: The signature and what it signs, as gpgv names files; none for a message on stdin.
        passed: File descriptors that gpgv inherits.
        says: What a message has to hold; None where that is known otherwise.
    """
    home = keys[0].home
    # Where keyboxd keeps the keys, the file is what they were at some time before.
    if home is None or (home / _KEYBOXD).exists() or not (home / _KEYRING).is_file():
        return False
    # One byte more than the limit, so that a longer message is another one.
    limit = None if says is None else len(says) + 1
    try:
        verified = run_gpgv_on(home / _KEYRING, *files, data=data, passed=passed, output_limit=limit)
    except SigningError:
        return False
    return _is_of(keys, verified) and (says is None or verified.output == says)


def _verify(key: SigningKey, data: bytes | FileTail, signature: bytes) -> GpgResult:
    with file_of(signature) as file:
        options = (*_WITHOUT_TRUST, "--enable-special-filenames", "--verify", "--", f"-&{file.fileno()}", "-")
        return run_gpg(key.home, *options, data=data, passed=(file.fileno(),))


def _is_of(keys: Sequence[SigningKey], verified: GpgResult) -> bool:
    verdict = read_verdict(verified.status)
    return verdict.wrong is None and sorted(verdict.signers) == sorted(key.fingerprint for key in keys)


def _without_blanks(text: bytes) -> list[bytes]:
    return [line.rstrip(_LINE_ENDS) for line in text.rstrip(_LINE_ENDS).split(b"\n")]
