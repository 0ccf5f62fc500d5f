"""Verifies signatures by a public key, as a client does that has only this key.

Takes: a public key, signed bytes, signatures.
Gives: what is wrong; the content of signed messages.
Touches: gpgv; a directory of its own for gpgv's files.
"""

import base64
import binascii
from dataclasses import dataclass

from packrat_agent.gpg.run import run_gpgv
from packrat_agent.gpg.verdict import read_verdict

_STATEMENT_LIMIT = 64 * 1024
_BEGIN = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END = b"-----END PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True, slots=True)
class Keyring:
    """Public keys in binary form."""

    keys: bytes

    def verify(self, signed: bytes, detached: bytes | None) -> str | None:
        """Say what is wrong with a signature, detached or (None) inside; None where it is good."""
        return self._gpgv(signed, detached, None)[1]

    def read_message(self, message: bytes) -> tuple[bytes, str | None]:
        """Give what a signed message says, and what is wrong with its signature, or None."""
        return self._gpgv(message, None, _STATEMENT_LIMIT)

    def _gpgv(self, signed: bytes, detached: bytes | None, output_limit: int | None) -> tuple[bytes, str | None]:
        verified = run_gpgv(self.keys, signed, detached, output_limit)
        if verified.is_cut:
            return b"", f"is a signed message of more than {output_limit} bytes"
        verdict = read_verdict(verified.status)
        if verified.returncode == 0 and verdict.wrong is None:
            return verified.output, None
        # gpgv calls a signature of an expired key good, in words and by its exit code.
        lines = [line.removeprefix("gpgv: ") for line in verified.messages.splitlines() if line.strip()]
        reasons = [verdict.wrong, *(lines[-1:] if verified.returncode else ())]
        told = "; ".join(reason for reason in reasons if reason is not None)
        return verified.output, f"its signature does not verify: {told or 'gpgv gave no reason'}"


def read_keys(text: bytes) -> bytes:
    """Give public keys in binary form, however they are written.

    Raises: ValueError where they are armored, and that badly.
    """
    if _BEGIN not in text:
        return text
    _, _, rest = text.partition(_BEGIN)
    block, end, more = rest.partition(_END)
    if not end or more.strip():
        raise ValueError("it is no armored key, or more than one")
    # The headers end with an empty line, the base64 before the checksum.
    _, _, body = block.replace(b"\r", b"").partition(b"\n\n")
    try:
        return base64.b64decode(b"".join(body.partition(b"\n=")[0].split()), validate=True)
    except binascii.Error:
        raise ValueError("its armor is broken") from None
