"""Verifies signatures by a public key, as a client does that has only this key.

Takes: a public key, signed bytes, signatures.
Gives: what is wrong; the content of signed messages.
Touches: gpgv; a directory of its own for gpgv's files.
"""

import base64
import binascii
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

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
        return self._gpgv(signed, detached, "/dev/null")[1]

    def read_message(self, message: bytes) -> tuple[bytes, str | None]:
        """Give what a signed message says, and what is wrong with its signature, or None."""
        return self._gpgv(message, None, "-")

    def _gpgv(self, signed: bytes, detached: bytes | None, output: str) -> tuple[bytes, str | None]:
        with tempfile.TemporaryDirectory(prefix="packrat-verify-") as name:
            directory = Path(name)
            files = {"signed": signed} if detached is None else {"detached": detached, "signed": signed}
            for file, content in {**files, "keys": self.keys}.items():
                (directory / file).write_bytes(content)
            keys = ("--keyring", str(directory / "keys"))
            with (directory / "said").open("wb") as said, (directory / "status").open("wb") as status:
                process = subprocess.Popen(
                    ["gpgv", "--status-fd", str(status.fileno()), *keys, "--output", output, "--", *files],
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    pass_fds=(status.fileno(),),
                )
            with process:
                assert process.stdout is not None
                # A message may be compressed, without end.
                content = process.stdout.read(_STATEMENT_LIMIT + 1)
                if len(content) > _STATEMENT_LIMIT:
                    process.kill()
                    return b"", f"is a signed message of more than {_STATEMENT_LIMIT} bytes"
            verdict = read_verdict((directory / "status").read_text("utf-8", "replace"))
            if process.returncode == 0 and verdict.wrong is None:
                return content, None
            lines = (directory / "said").read_text("utf-8", "replace").splitlines()
        # gpgv calls a signature of an expired key good, in words and by its exit code.
        told = [line.removeprefix("gpgv: ") for line in lines if line.strip()] if process.returncode else []
        reasons = [reason for reason in (verdict.wrong, *told[-1:]) if reason is not None]
        return content, f"its signature does not verify: {'; '.join(reasons) or 'gpgv gave no reason'}"


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
