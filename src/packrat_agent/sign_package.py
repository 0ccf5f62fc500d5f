"""Signs a private copy of an rpm with the operator's key.

Takes: a verified rpm, a directory for the copy, the key.
Gives: the signed copy, or None where the rpm carries a signature of this key already.
Touches: gpg and rpmsign; the directory of the copy.

Source: rpmsign(8).
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from packrat_agent.disk import told_as_disk_error
from packrat_agent.errors import SigningError
from packrat_agent.keyring import SigningKey
from packrat_agent.model import StagedFile


def sign_package(rpm: Path, into: Path, key: SigningKey) -> StagedFile | None:
    """Sign a copy of `rpm`, which stands in `into` under its SHA-256 afterwards; `rpm` itself is left as it is.

    Raises: SigningError, DiskError.
    """
    with told_as_disk_error("write", into):
        descriptor, name = tempfile.mkstemp(prefix="signing-", suffix=".rpm", dir=into)
        os.close(descriptor)
        copy = Path(name)
        shutil.copyfile(rpm, copy)
        copy.chmod(0o644)
    try:
        _add_signature(copy, key)
        with told_as_disk_error("read", copy), copy.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
        target = into / sha256
        with told_as_disk_error("rename", copy):
            copy.replace(target)
    finally:
        copy.unlink(missing_ok=True)
    return StagedFile(sha256, target, size)


def _add_signature(copy: Path, key: SigningKey) -> None:
    gpg = shutil.which("gpg")
    if gpg is None or shutil.which("rpmsign") is None:
        raise SigningError("rpmsign and gpg are needed to sign rpms: `apt-get install rpm gnupg`")
    extra = "--batch"
    if key.passphrase_file is not None:
        extra += f" --pinentry-mode loopback --passphrase-file {key.passphrase_file}"
    defines = {
        "__gpg": gpg,
        "_gpg_name": key.fingerprint,
        "_gpg_digest_algo": "sha256",
        "_gpg_sign_cmd_extra_args": extra,
    }
    if key.home is not None:
        defines["_gpg_path"] = str(key.home)
    arguments = [word for name, value in defines.items() for word in ("--define", f"{name} {value}")]
    done = subprocess.run(
        ["rpmsign", *arguments, "--addsign", str(copy)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise SigningError(f"rpmsign can't sign with {key.fingerprint}: {(done.stderr or done.stdout).strip()[-300:]}")
