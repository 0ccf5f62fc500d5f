"""Signs a private copy of an rpm with the operator's key, the same bytes each time.

Takes: a verified rpm, a directory for the copy, the key.
Gives: the signed copy, or None where the rpm carries a signature of this key already.
Touches: gpg and rpmsign; the directory of the copy.

Source: rpmsign(8); rpm's macros `__gpg_sign_cmd`.
"""

import base64
import binascii
import hashlib
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.gpg.keyring import SigningKey, make_signature, verifies
from packrat_agent.model.values import SignatureForm, StagedFile
from packrat_core.errors import Refused, SigningError
from packrat_core.fs.disk_errors import told_as_disk_error
from packrat_core.packages.rpm.header import RpmFile, walk

_BUILD_TIME = 1006
_HEADER_SIGNATURES = (268, 267)
_OPENPGP = 278
"""Signatures of the header: RSA; DSA and EdDSA; any, in base64, since rpm 6."""


def sign_package(rpm: Path, into: Path, key: SigningKey) -> StagedFile | None:
    """Sign a copy of `rpm`, which stands in `into` under its SHA-256 afterwards; `rpm` itself is left as it is.

    Raises: SigningError where the key does not sign; Refused where the file is no rpm, or none that rpmsign can sign;
    DiskError.
    """
    front = _walk(rpm)
    if _carries_signature(front, key):
        return None
    now = datetime.now(UTC)
    if key.expires is not None and key.expires <= now:
        # With the time below, gpg would not notice.
        raise SigningError(
            f"the signing key {key.fingerprint} expired on {key.expires:%Y-%m-%d}; extend it with "
            "`gpg --quick-set-expire`, and bring the new public key to the clients"
        )
    with told_as_disk_error("write", into):
        descriptor, name = tempfile.mkstemp(prefix="signing-", suffix=".rpm", dir=into)
        os.close(descriptor)
        copy = Path(name)
        shutil.copyfile(rpm, copy)
        copy.chmod(0o644)
    try:
        _add_signature(copy, key, _signing_time_s(front, key, now))
        with told_as_disk_error("read", copy), copy.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
        target = into / sha256
        with told_as_disk_error("rename", copy):
            copy.replace(target)
    finally:
        copy.unlink(missing_ok=True)
    return StagedFile(sha256, target, size)


def _walk(rpm: Path) -> RpmFile:
    with told_as_disk_error("read", rpm), rpm.open("rb") as file:
        return walk(file)


def _carries_signature(front: RpmFile, key: SigningKey) -> bool:
    """True where the header is signed by this key, and the signature is valid: anybody can write a key's id."""
    found = [front.signature.binary(tag) for tag in _HEADER_SIGNATURES]
    for text in front.signature.texts(_OPENPGP):
        try:
            found.append(base64.b64decode(text, validate=True))
        except binascii.Error:
            continue
    key_id = bytes.fromhex(key.fingerprint)[-8:]
    return any(one is not None and key_id in one and verifies(key, front.header.blob, one) for one in found)


def _signing_time_s(front: RpmFile, key: SigningKey, now: datetime) -> int:
    """Give the moment that the signature names, in epoch seconds: as the package tells it, so that it is repeatable."""
    created_s = int(key.created.timestamp())
    built_s = next(iter(front.header.numbers(_BUILD_TIME)), 0)
    return built_s if created_s < built_s <= int(now.timestamp()) else created_s


def _add_signature(copy: Path, key: SigningKey, moment_s: int) -> None:
    gpg = shutil.which("gpg")
    if gpg is None or shutil.which("rpmsign") is None:
        raise SigningError("rpmsign and gpg are needed to sign rpms: `apt-get install rpm gnupg`")
    extra = f"--batch --faked-system-time {moment_s}! --pinentry-mode "
    extra += f'loopback --passphrase-file "{key.passphrase_file}"' if key.passphrase_file is not None else "error"
    defines = {
        "__gpg": gpg,
        # Without `!`, gpg signs with the newest subkey.
        "_gpg_name": f"{key.fingerprint}!",
        "_gpg_digest_algo": "sha256",
        "_gpg_sign_cmd_extra_args": extra,
    }
    if key.home is not None:
        defines["_gpg_path"] = str(key.home)
    arguments = [word for name, value in defines.items() for word in ("--define", f"{name} {value.replace('%', '%%')}")]
    done = subprocess.run(
        ["rpmsign", *arguments, "--addsign", str(copy)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0 and _carries_signature(_walk(copy), key):
        return
    # The key's fault or the package's?
    make_signature(key, b"packrat-agent: trial signature\n", SignatureForm.BINARY)
    raise Refused(f"rpmsign can't sign it: {(done.stderr or done.stdout).strip()[-300:] or 'no reason given'}")
