"""Signs a copy of an rpm with the operator's key; the same rpm and key always give the same bytes.

Source: rpmsign(8); rpm's macros `__gpg_sign_cmd`.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.gpg.run import environment, find_program, unlock_options
from packrat_agent.gpg.signatures import try_key
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.gpg.verify import verifies
from packrat_agent.model.entries import StagedFile
from packrat_core.errors import Refused, SigningError
from packrat_core.fs.disk_errors import told_as_disk_error
from packrat_core.packages.rpm.header import RpmFile, walk
from packrat_core.packages.rpm.signatures import header_signatures
from packrat_core.packages.rpm.tags import BUILD_TIME

_TIMEOUT_S = 1800


def sign_package(rpm: Path, into: Path, key: SigningKey) -> StagedFile | None:
    """Sign a copy of an rpm.

    Args:
        rpm: The package file, whose SHA-256 was checked; it is left as it is.
        into: The directory for the copy, which is named by its SHA-256.
        key: What to sign with.

    Returns:
        The copy, or None where the rpm already carries a valid signature of this key.

    Raises:
        SigningError: The key does not sign.
        Refused: The file is not an rpm, or rpmsign can't sign it.
        DiskError: The copy can't be written.
    """
    front = _walk(rpm)
    if _carries_signature(front, key):
        return None
    now = datetime.now(UTC)
    if key.expires is not None and key.expires <= now:
        # gpg would not notice: it is told that the time is that of the package.
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
    """Tell whether the header has a valid signature of this key; the key id alone proves nothing."""
    key_id = bytes.fromhex(key.fingerprint)[-8:]
    return any(key_id in found and verifies(key, front.header.blob, found) for found in header_signatures(front))


def _signing_time_s(front: RpmFile, key: SigningKey, now: datetime) -> int:
    """Choose the signature's time, in epoch seconds: the package's build time, so that it is repeatable."""
    created_s = int(key.created.timestamp())
    built_s = next(iter(front.header.numbers(BUILD_TIME)), 0)
    return built_s if created_s < built_s <= int(now.timestamp()) else created_s


def _add_signature(copy: Path, key: SigningKey, moment_s: int) -> None:
    gpg, rpmsign = find_program("gpg"), find_program("rpmsign")
    unlock = " ".join(f'"{word}"' if word.startswith("/") else word for word in unlock_options(key.passphrase_file))
    defines = {
        "__gpg": gpg,
        # Without `!`, gpg signs with the newest subkey.
        "_gpg_name": f"{key.fingerprint}!",
        "_gpg_digest_algo": "sha256",
        "_gpg_sign_cmd_extra_args": f"--batch --faked-system-time {moment_s}! {unlock}",
    }
    if key.home is not None:
        defines["_gpg_path"] = str(key.home)
    arguments = [word for name, value in defines.items() for word in ("--define", f"{name} {value.replace('%', '%%')}")]
    try:
        done = subprocess.run(
            [rpmsign, *arguments, "--addsign", str(copy)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=environment(),
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise SigningError(
            f"rpmsign did not end within {_TIMEOUT_S} seconds; look whether gpg-agent or a smart card is waiting"
        ) from None
    if done.returncode == 0 and _carries_signature(_walk(copy), key):
        return
    # Where the key works by itself, the package is why.
    try_key(key)
    raise Refused(f"rpmsign can't sign it: {(done.stderr or done.stdout).strip()[-300:] or 'no reason given'}")
