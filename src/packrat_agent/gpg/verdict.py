"""Reads from the status lines of gpg and gpgv whether signatures are good.

Their exit codes don't tell: gpgv ends with 0 for a signature of an expired or revoked key. The rules:

1. A signature is good if it has both a GOODSIG and a VALIDSIG line.
2. A file is well signed if it has a signature, and all its signatures are good.
3. apt asks for less: one good signature, and none that the signed bytes contradict.

    verdict = read_verdict(status)
    if verdict.wrong is None and verdict.signers == (fingerprint,): ...

Source: doc/DETAILS of GnuPG, "Format of the --status-fd output".
"""

from dataclasses import dataclass

_PREFIX = "[GNUPG:] "
_FAULTS = {
    "EXPKEYSIG": "the key {key} that made it is expired",
    "REVKEYSIG": "the key {key} that made it is revoked",
    "EXPSIG": "it is expired itself (made by the key {key})",
    "BADSIG": "the signed bytes or the signature were changed (made by the key {key})",
    "ERRSIG": "it can't be checked, for example since the key {key} that made it is missing",
}
"""Lines in place of GOODSIG. KEYEXPIRED is not one: gpg also writes it for subkeys that have signed nothing."""


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """What gpg says of all signatures of a file.

    `signers` are the fingerprints of the keys and subkeys whose signatures are good; `wrong` is None if there is at
    least one signature, and each one is good. `expired` are those whose signatures would be good if their keys had not
    expired; `is_bad`: the bytes or a signature were changed.
    """

    signers: tuple[str, ...]
    wrong: str | None
    expired: tuple[str, ...] = ()
    is_bad: bool = False

    @property
    def suffices_for_apt(self) -> bool:
        """Whether apt takes the file: it passes over signatures of keys that it doesn't have, or that have expired."""
        return bool(self.signers) and not self.is_bad


def lines_of(text: str) -> list[str]:
    """Split what gpg writes for programs into its lines.

    A user id may have other characters that Python takes for the end of a line, such as U+2028, and so say what gpg
    does not: that a signature is good, or which fingerprint a key has.
    """
    return text.split("\n")


def read_verdict(text: str) -> SignatureVerdict:
    """Read the status lines of one run of gpg or gpgv."""
    signers: list[str] = []
    faults: list[str] = []
    expired: list[str] = []
    is_good, is_expired, is_bad = False, False, False
    for line in lines_of(text):
        word, _, rest = line.removeprefix(_PREFIX).partition(" ")
        if not line.startswith(_PREFIX):
            continue
        first = rest.partition(" ")[0]
        # GOODSIG stands before VALIDSIG; what is left of an earlier signature must not make the next one good.
        if word == "NEWSIG":
            is_good, is_expired = False, False
        elif word == "GOODSIG":
            is_good, is_expired = True, False
        elif word == "VALIDSIG" and (is_good or is_expired):
            (signers if is_good else expired).append(first)
            is_good, is_expired = False, False
        elif word in _FAULTS:
            is_good, is_expired = False, word == "EXPKEYSIG"
            is_bad = is_bad or word == "BADSIG"
            faults.append(_FAULTS[word].format(key=first))
    if not signers and not faults:
        faults.append("gpg found no good signature")
    return SignatureVerdict(tuple(signers), faults[0] if faults else None, tuple(expired), is_bad)
