"""Reads gpg's listings of keys.

Source: doc/DETAILS of GnuPG, "Format of the colon listings".
"""

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.gpg.agent_program import ATTEMPTS, PAUSE_S, explain_no_agent
from packrat_agent.gpg.hints import GpgHints
from packrat_agent.gpg.run import read_home, run_gpg
from packrat_agent.gpg.verdict import lines_of
from packrat_core.errors import SigningError

_PRIMARY = ("pub", "sec")
_SUBKEY = ("sub", "ssb")
_CERTIFICATIONS = ("10", "11", "12", "13", "18")
"""Classes of signatures on a user id, and on a subkey."""
_WEAK_DIGESTS = {"1": "MD5", "2": "SHA-1", "3": "RIPEMD-160", "11": "SHA-224"}
"""Source: doc/DETAILS of GnuPG, "Field 16 - Hash algorithm"."""
_FIELDS = 21
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A primary key or subkey; the field names are those of GnuPG's description.

    capabilities: of this key itself in lower case, of the whole key in upper case, D if it is disabled. is_on_disk: its
    secret part lies in the keyring itself, not on a card; has_secret says only that gpg knows where it is.
    """

    fingerprint: str
    validity: str
    algorithm: str
    bits: int
    created_s: int
    expires_s: int | None
    capabilities: str
    has_secret: bool
    is_on_disk: bool
    keygrip: str
    curve: str = ""

    @property
    def expires(self) -> datetime | None:
        """When this part expires by itself; None if it never does."""
        return datetime.fromtimestamp(self.expires_s, UTC) if self.expires_s else None

    def is_made_after(self, now: datetime) -> bool:
        """Tell whether the clock that says `now` is behind that of the machine where the key was made."""
        return self.created_s > now.timestamp()

    def is_expired(self, now: datetime) -> bool:
        """Tell whether it is expired by the clock that says `now`, or by gpg's."""
        return self.validity == "e" or (self.expires_s is not None and self.expires_s <= now.timestamp())

    def why_unusable(self, now: datetime, primary: str, hints: GpgHints) -> str | None:
        """Say why this part of a key can't be used now, and what to do; None if it can.

        Args:
            now: The time at which it has to be valid.
            primary: The fingerprint of the primary key.
            hints: Writes commands for the keyring.
        """
        if self.validity == "r":
            return "is revoked; make a new key, publish it, and configure it"
        if self.is_made_after(now):
            made = datetime.fromtimestamp(self.created_s, UTC)
            return f"was made at {made:%Y-%m-%d %H:%M:%S} UTC, later than this machine's clock says; set that clock"
        if "D" in self.capabilities:
            return f"is disabled; enable it with {hints.enable(primary)}"
        if self.is_expired(now):
            # gpg calls a subkey expired, too, where only its primary key is.
            part = self.fingerprint if self.expires is not None and self.expires <= now else primary
            command = hints.extend(primary, {part: now})
            return f"is expired; extend it with {command}, and bring the new public key to the clients"
        if not self.has_secret:
            return "has no secret part in this keyring; import it"
        return None


@dataclass(frozen=True, slots=True)
class ListedKeys:
    """A primary key with its subkeys and its first user id."""

    primary: ListedKey
    subkeys: tuple[ListedKey, ...]
    user: str

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Those of the primary key and of all subkeys."""
        return (self.primary.fingerprint, *(subkey.fingerprint for subkey in self.subkeys))


def list_keys(home: Path | None, *, secret: bool, name: str | None = None) -> tuple[ListedKeys, ...]:
    """List the keys of a keyring.

    Args:
        home: The directory of the keyring; None for this user's own.
        secret: Only those with a secret part.
        name: Only those of this name.

    Raises:
        SigningError: gpg can't be used, or gpg-agent answers for no secret key though some lie in the keyring.
        DiskError: gpg-agent can't be started because the disk is full or read-only.
    """
    if not secret:
        return _list("--list-keys", home, name)
    for attempt in range(ATTEMPTS):
        listed = _list("--list-secret-keys", home, name)
        if not (unlisted := _find_unlisted(listed, home, name)):
            return listed
        if attempt + 1 < ATTEMPTS:
            time.sleep(PAUSE_S)
    if listed:
        # It answers, and has no such key: it may be that of another host, or the file of the key may be damaged.
        return listed
    raise explain_no_agent(home) or SigningError(
        f"gpg-agent does not answer for the secret key {unlisted} in {read_home(home)}",
        hint=f"end it with {GpgHints(home).end_agent()}; gpg starts a new one",
    )


def _list(command: str, home: Path | None, name: str | None) -> tuple[ListedKeys, ...]:
    names = () if name is None else (name,)
    details = ("--with-colons", "--with-keygrip", "--with-subkey-fingerprint")
    return read_listing(run_gpg(home, *details, command, *names).output.decode("utf-8", "replace"))


def _find_unlisted(listed: Sequence[ListedKeys], home: Path | None, name: str | None) -> str:
    """Find a secret part that lies in the keyring and is not listed as such; '' if there is none.

    gpg leaves out each key that gpg-agent does not answer for, such as one that is being ended, and calls that a
    success; the keyring would seem to be empty.
    """
    # As root, somebody may have made or imported one that the agent's user can't read: gpg-agent doesn't have it.
    files = read_home(home).glob("private-keys-v1.d/*.key")
    held = {path.stem for path in files if os.access(path, os.R_OK)}
    given = {part.keygrip for keys in listed for part in (keys.primary, *keys.subkeys) if part.has_secret}
    if not held - given:
        return ""
    # Secret parts may be left of keys whose public parts were deleted; gpg never lists these.
    for keys in _list("--list-keys", home, name):
        for part in (keys.primary, *keys.subkeys):
            if part.keygrip in held - given:
                return part.fingerprint
    return ""


def read_listing(text: str) -> tuple[ListedKeys, ...]:
    """Read a listing made with --with-colons and --with-keygrip."""
    found: list[ListedKeys] = []
    for line in lines_of(text):
        fields = line.split(":") + [""] * _FIELDS
        kind, value = fields[0], fields[9]
        if kind in _PRIMARY:
            found.append(ListedKeys(_read_key(fields), (), ""))
        elif not found:
            continue
        elif kind in _SUBKEY:
            found[-1] = replace(found[-1], subkeys=(*found[-1].subkeys, _read_key(fields)))
        elif kind == "fpr":
            found[-1] = _with_last(found[-1], fingerprint=value)
        elif kind == "grp":
            found[-1] = _with_last(found[-1], keygrip=value)
        elif kind == "uid" and not found[-1].user:
            found[-1] = replace(found[-1], user=_unescape(value))
    return tuple(found)


def list_signatures(home: Path | None, primary: str) -> str:
    """List a key with the signatures on its parts.

    Raises:
        SigningError: gpg can't be used.
    """
    return run_gpg(home, "--with-colons", "--list-sigs", primary).output.decode("utf-8", "replace")


def find_weak_digest(listing: str, primary: str, part: str) -> str:
    """Name the hash of the newest signature of a primary key on itself or a subkey if clients refuse it, else ''.

    Args:
        listing: The key with the signatures on its parts.
        primary: The fingerprint of the primary key.
        part: The same, or the fingerprint of a subkey.
    """
    of_part, newest, newest_s = False, "", -1
    for fields in (line.split(":") for line in lines_of(listing)):
        if fields[0] in _PRIMARY + _SUBKEY:
            of_part = part.endswith(fields[4])
        elif fields[0] == "sig" and of_part and len(fields) > 15 and primary.endswith(fields[4]):
            made_s = _number(fields[5]) or 0
            if fields[10][:2] in _CERTIFICATIONS and made_s > newest_s:
                newest, newest_s = fields[15], made_s
    return _WEAK_DIGESTS.get(newest, "")


def _with_last(keyring: ListedKeys, **fields: str) -> ListedKeys:
    """Complete the key or subkey that was listed last: its fingerprint and keygrip are on lines of their own."""
    if not keyring.subkeys:
        return replace(keyring, primary=replace(keyring.primary, **fields))  # type: ignore[arg-type] # texts
    *before, last = keyring.subkeys
    return replace(keyring, subkeys=(*before, replace(last, **fields)))  # type: ignore[arg-type] # texts


def _read_key(fields: list[str]) -> ListedKey:
    return ListedKey(
        fingerprint="",
        validity=fields[1],
        algorithm=fields[3],
        bits=_number(fields[2]) or 0,
        created_s=_number(fields[5]) or 0,
        expires_s=_number(fields[6]),
        capabilities=fields[11],
        has_secret=fields[14] != "#",
        is_on_disk=fields[14] == "+",
        keygrip="",
        curve=fields[16],
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _unescape(text: str) -> str:
    r"""Read a user id, in which a colon stands as `\x3a`."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
