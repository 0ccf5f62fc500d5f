"""Signs copies of rpms with the operator's key; the same rpm and key always give the same bytes."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, BinaryIO

from packrat_agent.gpg.rpm_signature_header import replace_signatures
from packrat_agent.gpg.signatures import make_signature, make_tail_signature
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.verify import verifies
from packrat_agent.model.entries import Product
from packrat_agent.model.tree import SignatureForm
from packrat_core.errors import SigningError
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.file_tail import FileTail
from packrat_core.fs.verified import read_verified
from packrat_core.packages.rpm.header import LEAD_BYTES, RpmFile, walk
from packrat_core.packages.rpm.payload import check_payload
from packrat_core.packages.rpm.signatures import is_header_enough, read_signatures
from packrat_core.packages.rpm.tags import BUILD_TIME

_COPY_BYTES = 1024 * 1024
_DIGEST = "SHA256"
"""What every rpm reads; some older ones don't know SHA-512."""


@dataclass(frozen=True, slots=True)
class PackageSigner:
    """The key that signs packages; with `only_unsigned`, signatures of others stay."""

    key: SigningKey
    only_unsigned: bool = False

    @property
    def identity(self) -> str:
        """Identifies the bytes that this signer makes of a package: if it changes, packages are signed again."""
        return self.identity_of(self.key.fingerprint)

    def identity_of(self, fingerprint: str) -> str:
        """Name the result that a signer with another key would have."""
        return f"unsigned {fingerprint}" if self.only_unsigned else fingerprint


def sign_package(rpm: Path, sha256: str, into: Path, signer: PackageSigner) -> Product | None:
    """Sign a copy of an rpm.

    Args:
        rpm: The package file; it is left as it is.
        sha256: Its SHA-256 by the server's record, in hex. Others may be able to write to the file, so that it is
            checked of the very bytes whose header is signed.
        into: The directory for the copy, which is named by its SHA-256.
        signer: What to sign with.

    Returns:
        The copy, to publish in place of the rpm; None if the rpm is published as it is.

    Raises:
        SigningError: The key does not sign.
        Refused: The file is not an rpm, or damaged.
        OtherBytes: The file has another SHA-256, or somebody wrote to it during the read.
        DiskError: The copy can't be written.
    """
    with as_disk_error("read", rpm):
        # What is checked, signed and copied are the bytes that were hashed.
        return read_verified(rpm, sha256, lambda opened: _sign(opened.path, into, signer))


def _sign(rpm: Path, into: Path, signer: PackageSigner) -> Product | None:
    with rpm.open("rb") as file:
        front = walk(file)
        if _needs_none(rpm, front, signer):
            return None
        # A signature is the mirror's word for the package, so its digests have to be right.
        check_payload(file)
        signature, of_both = _make_signatures(rpm, front, signer.key)
        signed = replace_signatures(front.signature, signature, of_both, by_rsa=signer.key.algorithm == "RSA")
        file.seek(front.end)
        return _write(front.front[:LEAD_BYTES] + signed + front.front[front.start : front.end], file, into)


def _needs_none(rpm: Path, front: RpmFile, signer: PackageSigner) -> bool:
    """Tell whether the package can stay as it is: wherever a version of rpm looks, it finds our signature alone."""
    readings = list(read_signatures(front).values())
    if signer.only_unsigned:
        return any(readings)
    key_id = bytes.fromhex(signer.key.fingerprint)[-8:]
    found = {signature for signatures in readings for signature in signatures}
    wanted = {False} if is_header_enough(front) else {False, True}
    if any({signature.covers_payload for signature in signatures} != wanted for signatures in readings):
        return False
    # The key id alone proves nothing, but without it there is no need to ask gpg.
    if any(key_id not in signature.data for signature in found):
        return False
    with rpm.open("rb", buffering=0) as file:
        signed: Mapping[bool, bytes | FileTail] = {False: front.header.blob, True: FileTail(file, front.start)}
        made = {(signature.covers_payload, signature.data) for signature in found}
        return all(verifies(signer.key, signed[covers_payload], data) for covers_payload, data in made)


def _make_signatures(rpm: Path, front: RpmFile, key: SigningKey) -> tuple[bytes, bytes | None]:
    """Sign the header; and header and payload together, if that does not cover the payload."""
    now = datetime.now(UTC)
    if key.expires is not None and key.expires <= now:
        # gpg would not notice: it is told that the time is that of the package.
        raise SigningError(
            f"the signing key {key.fingerprint} expired on {key.expires:%Y-%m-%d}",
            hint=f"extend it with {key.extension}, and bring the new public key to the clients",
        )
    moment_s = _choose_time_s(front, key, now)
    of_header = make_signature(key, front.header.blob, SignatureForm.BINARY, digest=_DIGEST, moment_s=moment_s)
    if is_header_enough(front):
        return of_header, None
    with rpm.open("rb", buffering=0) as file:
        return of_header, make_tail_signature(key, FileTail(file, front.start), digest=_DIGEST, moment_s=moment_s)


def _choose_time_s(front: RpmFile, key: SigningKey, now: datetime) -> int:
    """Choose the signature's time, in epoch seconds: the package's build time, so that it is repeatable."""
    created_s = int(key.created.timestamp())
    built_s = next(iter(front.header.numbers(BUILD_TIME)), 0)
    return built_s if created_s < built_s <= int(now.timestamp()) else created_s


def _write(front: bytes, rest: BinaryIO, into: Path) -> Product:
    with as_disk_error("write", into):
        descriptor, name = tempfile.mkstemp(prefix="signing-", suffix=".rpm", dir=into)
        copy = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                sha256, size = _copy(front, rest, file)
                os.fchmod(file.fileno(), 0o644)
            copy.replace(into / sha256)
        finally:
            copy.unlink(missing_ok=True)
    return Product("", sha256, size)


def _copy(front: bytes, rest: BinaryIO, target: IO[bytes]) -> tuple[str, int]:
    digest = hashlib.sha256(front)
    target.write(front)
    size = len(front)
    while data := rest.read(_COPY_BYTES):
        digest.update(data)
        target.write(data)
        size += len(data)
    return digest.hexdigest(), size
