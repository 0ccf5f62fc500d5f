"""Finds the operator's signing key in GnuPG and makes signatures with exactly that key.

Takes: a key id or fingerprint, the keyring's home, a passphrase file.
Gives: a SigningKey that is proved to work; its public form; signatures that are verified.
Touches: gpg; temporary files; the passphrase file, only to see that it is there.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import gnupg
import structlog

from packrat_agent.gpg.verdict import read_verdict
from packrat_agent.model.tree import SignatureForm
from packrat_core.errors import SigningError
from packrat_core.fs.ownership import first_unusable

log = structlog.get_logger()

_ID_LENGTHS = (8, 16, 40)
_WARN_BEFORE = timedelta(days=30)
_CERTIFICATIONS = ("10", "11", "12", "13")
_WEAK_DIGESTS = ("1", "2")
_ALGORITHMS = {"1": "RSA", "3": "RSA", "17": "DSA", "19": "ECDSA", "22": "EdDSA"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key that signs: `fingerprint` is that of the key or subkey itself, `primary` that of the whole key.

    `created` is the moment from which on both can sign. `weakly_certified`: its signature on itself is of SHA-1 or MD5.
    """

    fingerprint: str
    primary: str
    user: str
    algorithm: str
    bits: int
    expires: datetime | None
    created: datetime
    home: Path | None
    passphrase_file: Path | None
    weakly_certified: bool = False


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public key, minimal, in both forms."""

    armored: bytes
    binary: bytes


def find_key(name: str, home: Path | None, passphrase_file: Path | None, now: datetime) -> SigningKey:
    """Find the key that `name` (short id, long id or fingerprint, of a primary key or a subkey) means.

    A primary key signs with its newest signing subkey, or by itself; so does a subkey that can't sign (many
    instructions tell people to configure the encryption subkey's id).
    Raises: SigningError where that key is missing, expired, revoked, locked or can't sign, with what to do.
    """
    wanted = name.replace(" ", "").removeprefix("0x").upper()
    if len(wanted) not in _ID_LENGTHS or any(c not in "0123456789ABCDEF" for c in wanted):
        raise SigningError(
            f"gpg_sign_key {name!r} is no key id: give the 8, 16 or 40 hex digits that `gpg --list-secret-keys "
            "--with-subkey-fingerprints` shows"
        )
    if passphrase_file is not None:
        _check_readable(passphrase_file)
    gpg = _open(home)
    matches = _matches(gpg.list_keys(True), wanted)
    if not matches:
        _tell_missing(gpg, wanted, home)
    if len(matches) > 1:
        raise SigningError(f"gpg_sign_key {name} fits more than one key; give the whole fingerprint")
    primary, named = matches[0]
    chosen = _choose(primary, named, now)
    if chosen["fingerprint"] not in (named, primary["fingerprint"]):
        log.info("key", configured=name, signs_with=chosen["fingerprint"], text="the signing subkey of the same key")
    key = SigningKey(
        chosen["fingerprint"],
        primary["fingerprint"],
        (primary["uids"] or [""])[0],
        _ALGORITHMS.get(chosen["algo"], f"algorithm {chosen['algo']}"),
        int(chosen["length"] or 0),
        _expiry(primary, chosen),
        datetime.fromtimestamp(max(int(info["date"] or 0) for info in (primary, chosen)), UTC),
        home,
        passphrase_file,
        _is_weakly_certified(home, primary["fingerprint"]),
    )
    make_signature(key, b"packrat-agent: trial signature\n", SignatureForm.BINARY)
    return key


def warn(key: SigningKey, now: datetime) -> tuple[str, ...]:
    """Tell what known clients refuse, and what will stop working soon."""
    found = []
    if key.expires is not None and key.expires - now < _WARN_BEFORE:
        found.append(
            f"the key expires on {key.expires:%Y-%m-%d}; extend it with `gpg --quick-set-expire {key.primary} 2y` "
            "and bring the new public key to the clients"
        )
    if key.weakly_certified:
        found.append(
            f"the key's signature on itself is of SHA-1, which Debian 13 and RHEL 9 refuse; renew it with "
            f"`gpg --cert-digest-algo SHA512 --quick-set-expire {key.primary} 2y`, and bring the new public key to the "
            "clients"
        )
    if key.algorithm == "DSA" or (key.algorithm == "RSA" and key.bits < 2048):
        found.append(f"{key.algorithm}-{key.bits} is refused by Debian 13 and later; make a new key")
    elif key.algorithm == "RSA" and key.bits < 3072:
        found.append(f"RSA-{key.bits} will be refused by Debian from 2030 on; plan a new key")
    elif key.algorithm == "EdDSA":
        found.append("EdDSA is refused by RHEL 8 and Ubuntu 16.04; where there are such clients, take an RSA-3072 key")
    return tuple(found)


def _is_weakly_certified(home: Path | None, primary: str) -> bool:
    """Look at the newest signature of the key on itself.

    Source: doc/DETAILS of GnuPG, "Field 16 - Hash algorithm".
    """
    command = ["gpg", *(("--homedir", str(home)) if home else ()), "--batch", "--with-colons", "--list-sigs", primary]
    listed = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    own = [
        fields
        for line in listed.splitlines()
        if len(fields := line.split(":")) > 15
        and fields[0] == "sig"
        and primary.endswith(fields[4])
        and fields[10][:2] in _CERTIFICATIONS
    ]
    newest = max(own, key=lambda fields: int(fields[5] or 0), default=None)
    return newest is not None and newest[15] in _WEAK_DIGESTS


def export_public(key: SigningKey) -> PublicKey:
    """Export the public key without the signatures of others.

    Raises: SigningError
    """
    gpg = _open(key.home)
    forms = [gpg.export_keys(key.primary, armor=armor, minimal=True) for armor in (True, False)]
    armored, binary = (form.encode() if isinstance(form, str) else bytes(form) for form in forms)
    if not armored or not binary:
        raise SigningError(f"gpg did not export the public key {key.primary}; is the keyring readable?")
    return PublicKey(armored, binary)


def make_signature(key: SigningKey, data: bytes, form: SignatureForm) -> bytes:
    """Sign `data` with exactly this key, and verify what came out.

    Raises: SigningError where gpg fails, signs with another key, or its signature does not verify.
    """
    gpg = _open(key.home)
    # gpg's --default-key, and a name without `!`, silently sign with another key where this one can't.
    extra = ["--local-user", f"{key.fingerprint}!", "--digest-algo", "SHA512"]
    if key.passphrase_file is not None:
        extra += ["--pinentry-mode", "loopback", "--passphrase-file", str(key.passphrase_file)]
    else:
        extra += ["--pinentry-mode", "error"]
    clear, detached = form is SignatureForm.CLEAR, form in (SignatureForm.ARMOR, SignatureForm.BINARY)
    binary = form in (SignatureForm.BINARY, SignatureForm.OPAQUE)
    made = gpg.sign(data, clearsign=clear, detach=detached, binary=binary, extra_args=extra)
    if made.returncode != 0 or _signers(made) != [key.fingerprint] or not made.data:
        raise SigningError(_tell_failure(key, made))
    signature = bytes(made.data)
    _verify(gpg, key, data, signature, form)
    return signature


def verifies(key: SigningKey, data: bytes, signature: bytes) -> bool:
    """Say whether a detached signature of `data` is a valid one of exactly this key."""
    with _temporary(signature) as path:
        verified = _open(key.home).verify_data(str(path), data)
    return _is_of(key, verified)


def _is_of(key: SigningKey, verified: Any) -> bool:
    """Judge by gpg's own lines: the last of several signatures overwrites what the others made of `verified`."""
    verdict = read_verdict(str(verified.stderr or ""))
    return verdict.wrong is None and verdict.signers == (key.fingerprint,)


@cache
def _open(home: Path | None) -> gnupg.GPG:
    # Once for each keyring: it runs gpg to ask for its version.
    try:
        gpg = gnupg.GPG(gnupghome=str(home) if home else None, options=["--batch", "--no-tty"])
    except (OSError, ValueError) as error:
        denied = _explain_denied(home)
        if denied is not None:
            raise SigningError(f"gnupg_home {home} can't be used: {denied}") from None
        raise SigningError(
            f"gpg can't be used ({error}); install it (`apt-get install gnupg`), or mend gnupg_home"
        ) from None
    gpg.encoding = "utf-8"
    return gpg


def _check_readable(passphrase_file: Path) -> None:
    try:
        passphrase_file.open("rb").close()
    except OSError as error:
        why = first_unusable(passphrase_file) if isinstance(error, PermissionError) else None
        raise SigningError(f"passphrase_file {passphrase_file} can't be read: {why or error.strerror}") from None


def _explain_denied(home: Path | None) -> str | None:
    """Say what in the keyring's home is closed to this user; None where nothing is, or it is the user's default one."""
    try:
        return first_unusable(home) if home else None
    except OSError:
        return None


def _matches(keys: Sequence[Mapping[str, Any]], wanted: str) -> list[tuple[Mapping[str, Any], str]]:
    found = []
    for key in keys:
        fingerprints = [key["fingerprint"], *(subkey[2] for subkey in key["subkeys"])]
        found += [(key, fingerprint) for fingerprint in fingerprints if fingerprint.endswith(wanted)]
    return found


def _tell_missing(gpg: gnupg.GPG, wanted: str, home: Path | None) -> None:
    where = f"the keyring in {home}" if home else "the default keyring of this user"
    denied = _explain_denied(home)
    if denied is not None:
        raise SigningError(f"gpg_sign_key {wanted} is not found in {where}: {denied}")
    if _matches(gpg.list_keys(), wanted):
        raise SigningError(
            f"gpg_sign_key {wanted} is in {where}, but without its secret part; import the secret key "
            "(`gpg --import secret-key.asc`), or set gnupg_home"
        )
    raise SigningError(
        f"gpg_sign_key {wanted} is not in {where}; see `gpg --list-secret-keys`, import the key, or set gnupg_home"
    )


def _choose(primary: Mapping[str, Any], named: str, now: datetime) -> Mapping[str, Any]:
    """Pick the (sub)key to sign with; a usable one that was named itself comes first."""
    _check_usable(primary, primary["fingerprint"], now)
    infos = [{**primary.get("subkey_info", {})[subkey[0]], "fingerprint": subkey[2]} for subkey in primary["subkeys"]]
    signing = [info for info in infos if "s" in info["cap"]]
    for info in signing:
        if info["fingerprint"] == named:
            _check_usable(info, named, now)
            return info
    usable = [info for info in signing if not _unusable(info, now)]
    if usable:
        return max(usable, key=lambda info: int(info["date"] or 0))
    if "s" in primary["cap"] and not _unusable(primary, now):
        return primary
    raise SigningError(
        f"key {primary['fingerprint']} can't sign: neither it nor a valid subkey of it has the signing capability; "
        f"add a subkey with `gpg --quick-add-key {primary['fingerprint']} rsa3072 sign 2y`"
    )


def _unusable(info: Mapping[str, Any], now: datetime) -> str | None:
    if info.get("trust") == "r":
        return "is revoked; make a new key, publish it, and configure it"
    if "D" in info.get("cap", ""):
        return "is disabled; enable it with `gpg --edit-key`"
    expires = info.get("expires")
    if info.get("trust") == "e" or (expires and int(expires) <= now.timestamp()):
        return "is expired; extend it with `gpg --quick-set-expire`, and bring the new public key to the clients"
    if info.get("token") == "#":
        return "has no secret part in this keyring; import it"
    return None


def _check_usable(info: Mapping[str, Any], fingerprint: str, now: datetime) -> None:
    reason = _unusable(info, now)
    # The secret part of a primary key may be kept offline while its subkeys sign.
    if reason is not None and not (info.get("token") == "#" and "subkeys" in info):
        raise SigningError(f"the signing key {fingerprint} {reason}")


def _expiry(primary: Mapping[str, Any], chosen: Mapping[str, Any]) -> datetime | None:
    moments = [int(info["expires"]) for info in (primary, chosen) if info.get("expires")]
    return datetime.fromtimestamp(min(moments), UTC) if moments else None


def _signers(made: Any) -> list[str]:
    """Name the keys that signed; `local-user` in gpg.conf adds others to the one on the command line."""
    lines = str(made.stderr or "").splitlines()
    return [line.split()[-1] for line in lines if line.startswith("[GNUPG:] SIG_CREATED ")]


def _tell_failure(key: SigningKey, made: Any) -> str:
    said = str(made.stderr or "")
    if made.returncode == 0 and _signers(made) != [key.fingerprint]:
        others = ", ".join(_signers(made)) or "nothing"
        return (
            f"gpg signed with {others}, not with the configured {key.fingerprint} alone; nothing was published; "
            "remove default keys and local-user from gpg.conf"
        )
    if "pinentry" in said.lower() or "No passphrase" in said or "Bad passphrase" in said or "cancelled" in said.lower():
        what = "the passphrase in passphrase_file is wrong" if key.passphrase_file else "it has a passphrase"
        return f"the signing key {key.fingerprint} is locked: {what}; set passphrase_file to a file (mode 0600) with it"
    denied = _explain_denied(key.home)
    last = [line for line in said.splitlines() if line and not line.startswith("[GNUPG:]")]
    return f"gpg can't sign with {key.fingerprint}: {denied or ' / '.join(last[-2:]) or 'no reason given'}"


def _verify(gpg: gnupg.GPG, key: SigningKey, data: bytes, signature: bytes, form: SignatureForm) -> None:
    if form in (SignatureForm.CLEAR, SignatureForm.OPAQUE):
        good = _is_of(key, gpg.verify(signature))
    else:
        good = verifies(key, data, signature)
    if not good:
        raise SigningError(f"the signature that gpg made with {key.fingerprint} does not verify; nothing was published")


@contextmanager
def _temporary(content: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="packrat-agent-") as file:
        file.write(content)
        file.flush()
        yield Path(file.name)
