"""Verifies signatures with gpgv, like a client that has only the given public keys."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from packrat_agent.gpg.verdict import SignatureVerdict, read_verdict
from packrat_core.fs.file_tail import FileTail

_STATEMENT_LIMIT = 64 * 1024
_BEGIN = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END = b"-----END PGP PUBLIC KEY BLOCK-----"


Judge = Callable[[int, SignatureVerdict], bool]
"""(gpgv's exit code, its verdict) → whether a client accepts the file."""


def is_well_signed(exit_code: int, verdict: SignatureVerdict) -> bool:
    """Judge as most clients do: all signatures are good."""
    return exit_code == 0 and verdict.wrong is None


def suffices_for_apt(_exit_code: int, verdict: SignatureVerdict) -> bool:
    """Judge as apt does; gpgv fails for each key that it doesn't have."""
    return verdict.suffices_for_apt


def suffices_for_rpm(exit_code: int, verdict: SignatureVerdict) -> bool:
    """Judge as rpm does: a signature that was made before its key expired counts for ever."""
    return is_well_signed(exit_code, verdict) or (bool(verdict.expired) and not verdict.signers and not verdict.is_bad)


@dataclass(frozen=True, slots=True)
class Keyring:
    """Public keys in binary form.

    `outlives`: one of them is good, so that packages which an expired one has signed stay good, as with rpm.
    """

    keys: bytes
    outlives: bool = False

    def verify(self, signed: bytes | FileTail, detached: bytes | None, judge: Judge = is_well_signed) -> str | None:
        """Return what is wrong with a signature, None if it is good; `detached` is None if it is part of `signed`.

        Args:
            signed: What is signed, or a message that holds its signature.
            detached: The signature; None if it is part of `signed`.
            judge: Decides by gpgv's verdict whether it is good.
        """
        return self._gpgv(signed, detached, None, judge)[1]

    def read_message(self, message: bytes) -> tuple[bytes, str | None]:
        """Return the content of a signed message, and what is wrong with its signature, or None."""
        return self._gpgv(message, None, _STATEMENT_LIMIT, is_well_signed)

    def _gpgv(
        self, signed: bytes | FileTail, detached: bytes | None, output_limit: int | None, judge: Judge
    ) -> tuple[bytes, str | None]:
        # Few of the processes that check files verify signatures, and this takes a quarter of their start.
        from packrat_agent.gpg.run import GpgKilled, StatusTooLong, run_gpgv

        try:
            verified = run_gpgv(self.keys, signed, detached, output_limit)
        except StatusTooLong:
            return b"", "has more signatures than can be checked"
        except GpgKilled as error:
            return b"", f"its signature can't be verified: {error}"
        if verified.is_cut:
            return b"", f"is a signed message of more than {output_limit} bytes"
        verdict = read_verdict(verified.status)
        if judge(verified.returncode, verdict):
            return verified.output, None
        # gpgv reports a signature by an expired key as good, in its messages and by its exit code.
        lines = [line.removeprefix("gpgv: ") for line in verified.messages.splitlines() if line.strip()]
        reasons = [verdict.wrong, *(lines[-1:] if verified.returncode else ())]
        reason = "; ".join(part for part in reasons if part is not None)
        return verified.output, f"its signature does not verify: {reason or 'gpgv gave no reason'}"


def read_keys(text: bytes) -> bytes:
    """Return public keys in binary form, given armored or binary ones.

    Raises:
        ValueError: The armor is broken, or there is more than one block.
    """
    if _BEGIN not in text:
        return text
    _, _, rest = text.partition(_BEGIN)
    block, end, more = rest.partition(_END)
    if not end or more.strip():
        raise ValueError("it is not an armored key, or more than one")
    # An empty line ends the headers; the checksum, a line with `=`, ends the base64.
    _, _, body = block.replace(b"\r", b"").partition(b"\n\n")
    try:
        return base64.b64decode(b"".join(body.partition(b"\n=")[0].split()), validate=True)
    except binascii.Error:
        raise ValueError("its armor is broken") from None
