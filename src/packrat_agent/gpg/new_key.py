"""Makes a signing key that every client accepts, with an expiry date and a revocation certificate.

RSA with 3072 bits, as apt, dnf, yum, zypper and skopeo of all releases that are in use accept it. Ed25519 is refused by
RHEL 8 and Ubuntu 16.04, DSA and shorter RSA keys by Debian 13.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.gpg.agent_program import run_with_agent
from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.listed_keys import list_keys
from packrat_agent.gpg.run import GpgResult, read_home, unlock_options
from packrat_core.errors import DiskError, PackratError, SigningError
from packrat_core.fs.free_space import is_full

_LIFETIME = re.compile(r"[1-9]\d{0,4}[dwmy]?|seconds=\d+|\d{8}T\d{6}|never|none|-|0")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made: `primary` and `signing` are fingerprints, the same where the primary key signs."""

    primary: str
    signing: str
    revocation: Path


def make_key(home: Path | None, passphrase_file: Path | None, name: str, kind: str, expires: str) -> NewKey:
    """Make a primary key that never expires, and a subkey that signs.

    Args:
        home: The directory of the keyring, made if it is missing; None for this user's own.
        passphrase_file: Holds the passphrase that it gets; None: it gets none.
        name: The user id.
        kind: The algorithm, as gpg spells it.
        expires: When the subkey expires, as gpg spells it.

    Raises:
        SigningError: gpg can't make it, there is one of that name, or it would never be good.
        DiskError: The disk of the keyring is full.
    """
    _check_expires(expires)
    primary = _make_primary(home, passphrase_file, name, kind, ("cert", "never"))
    added = run_with_agent(home, *unlock_new(passphrase_file), "--quick-add-key", primary, kind, "sign", expires)
    if added.returncode != 0:
        hint = f"{GpgHints(home).delete(primary)} removes the primary key, which was made already"
        raise _explain(f"add a signing subkey to {primary}", home, added, hint)
    return NewKey(primary, _newest_signing(home, primary), _revocation(home, primary))


def make_single_key(home: Path | None, passphrase_file: Path | None, name: str, kind: str, expires: str) -> NewKey:
    """Make a primary key that signs by itself, for rpm of RHEL 7 and older, which looks at no subkey.

    Args:
        home: The directory of the keyring, made if it is missing; None for this user's own.
        passphrase_file: Holds the passphrase that it gets; None: it gets none.
        name: The user id.
        kind: The algorithm, as gpg spells it.
        expires: When it expires, as gpg spells it.

    Raises:
        SigningError: gpg can't make it, there is one of that name, or it would never be good.
        DiskError: The disk of the keyring is full.
    """
    _check_expires(expires)
    primary = _make_primary(home, passphrase_file, name, kind, ("sign", expires))
    return NewKey(primary, primary, _revocation(home, primary))


def _check_expires(expires: str) -> None:
    """Refuse what gpg would refuse, which it does for a subkey when the primary key is made already.

    Source: gpg(1), --quick-generate-key; the date is one of UTC.
    """
    is_date = _DATE.fullmatch(expires) is not None
    if not is_date and _LIFETIME.fullmatch(expires) is None:
        raise SigningError(
            f"--expires: {expires[:40]!r} is not a time", hint="give a time such as 2y, 6m, 90d, a date or `never`"
        )
    if is_date and expires <= f"{datetime.now(UTC):%Y-%m-%d}":
        raise SigningError(f"--expires: {expires} is not in the future", hint="give a later date, or a time such as 2y")


def _make_primary(home: Path | None, passphrase_file: Path | None, name: str, kind: str, use: tuple[str, str]) -> str:
    if home is not None:
        _make_home(home)
    before = {key.primary.fingerprint for key in list_keys(home, secret=True)}
    if any(key.user == name for key in list_keys(home, secret=False)):
        raise SigningError(
            f"the keyring has a key of the name {name!r} already",
            hint="see `packrat-agent key show`; give the new one another --name, such as one with the year",
        )
    made = run_with_agent(home, *unlock_new(passphrase_file), "--quick-generate-key", name, kind, *use)
    if made.returncode != 0:
        raise _explain("make a key", home, made)
    new = [key.primary.fingerprint for key in list_keys(home, secret=True) if key.primary.fingerprint not in before]
    if len(new) != 1:
        hint = f"see {GpgHints(home).list_secret_keys()}"
        raise SigningError("gpg made a key, but it is not in the keyring", hint=hint)
    return new[0]


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SigningError(
            f"gnupg_home {home} can't be made: {error.strerror}", hint="make the directory above it, for this user"
        ) from None


def _newest_signing(home: Path | None, primary: str) -> str:
    parts = [part for key in list_keys(home, secret=True, name=primary) for part in key.subkeys]
    signing = [part for part in parts if "s" in part.capabilities]
    return max(signing, key=lambda part: part.created_s).fingerprint


def _revocation(home: Path | None, primary: str) -> Path:
    return read_home(home) / "openpgp-revocs.d" / f"{primary}.rev"


def unlock_new(passphrase_file: Path | None) -> tuple[str, ...]:
    """Give the options that give a new key its passphrase, or unlock one that was just made."""
    # An empty passphrase makes a key without one.
    return unlock_options(passphrase_file) if passphrase_file else ("--pinentry-mode", "loopback", "--passphrase", "")


def _explain(what: str, home: Path | None, result: GpgResult, hint: str = "") -> PackratError:
    place = read_home(home)
    text = f"gpg can't {what} in gnupg_home {place}: {result.reason or 'no reason given'}"
    if is_full(place):
        # gpg-agent doesn't start on a full disk, and gpg then says no more than that there is none.
        return DiskError(f"{text}; its disk is full", hint="free space there" + (f"; {hint}" if hint else ""))
    return SigningError(text, hint=hint or "see that gpg and gpg-agent work there")
