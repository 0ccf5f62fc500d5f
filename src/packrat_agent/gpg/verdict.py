"""Reads what gpg and gpgv say of signatures on their status lines: their exit codes are no verdict.

Takes: the status lines, with whatever else gpg wrote between them.
Gives: the fingerprints of the keys that made good signatures, and what is wrong.
Touches: nothing.

gpgv ends with 0 for a signature of a key that is expired or revoked. So only a signature passes that has both a GOODSIG
and a VALIDSIG line, and all signatures of a file must pass.

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
"""Lines that take the place of GOODSIG. KEYEXPIRED is none: it is also told of subkeys that have signed nothing."""


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """What gpg says of all signatures of a file.

    `signers` are the fingerprints of the keys and subkeys whose signatures are good; `wrong` is None where there is at
    least one signature, and each one is good.
    """

    signers: tuple[str, ...]
    wrong: str | None


def read_verdict(text: str) -> SignatureVerdict:
    """Read the status lines of one run of gpg or gpgv."""
    signers: list[str] = []
    faults: list[str] = []
    is_good = False
    for line in text.splitlines():
        word, _, rest = line.removeprefix(_PREFIX).partition(" ")
        if not line.startswith(_PREFIX):
            continue
        first = rest.partition(" ")[0]
        if word == "NEWSIG":
            is_good = False
        elif word == "GOODSIG":
            is_good = True
        elif word == "VALIDSIG" and is_good:
            signers.append(first)
            is_good = False
        elif word in _FAULTS:
            is_good = False
            faults.append(_FAULTS[word].format(key=first))
    if not signers and not faults:
        faults.append("gpg found no good signature")
    return SignatureVerdict(tuple(signers), faults[0] if faults else None)
