"""Makes the signing key of a new mirror, or takes one from a file; and finds the one that the mirror has.

A new key is as docs/signing.md recommends it: RSA with 3072 bits, which every client accepts; a primary key that
certifies and does not expire, and a subkey that signs for two years.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.gpg.agent_program import run_with_agent
from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.listed_keys import ListedKeys, list_keys
from packrat_agent.gpg.new_key import unlock_new
from packrat_agent.gpg.run import stop_gpg_agent
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.setup.account import Account
from packrat_core.errors import SigningError
from packrat_core.fs.open import read_given
from packrat_core.fs.ownership import explain_unread

_ALGORITHM = "rsa3072"
_FILE_LIMIT = 4 << 20
_SOCKET_PATH_LIMIT = 80
"""The sockets of gpg-agent are in the keyring's directory, and the path of a socket may have 107 bytes."""


def find_own_key(
    account: Account, home: Path, name: str, passphrase_file: Path | None, *, may_lack: bool
) -> SigningKey | None:
    """Find the key that the mirror signs with in its keyring, as the user that will sign with it.

    Args:
        account: The agent's user.
        home: The directory of the keyring.
        name: The id of the key; '' if it is the only one.
        passphrase_file: Holds its passphrase; None for a key without one.
        may_lack: Whether the key of that id may still have to be imported.

    Returns:
        The key; None if the keyring has no secret key, only one that was not finished, or does not exist, or if it
        lacks the key and may do so.

    Raises:
        SigningError: The key can't be used, or there are several.
    """

    def find() -> SigningKey | None:
        listed = list_keys(home, secret=True) if _is_directory(home) else ()
        if not name and len(listed) > 1:
            shown = ", ".join(key.primary.fingerprint for key in listed)
            raise SigningError(f"{home} has several keys ({shown})", hint="name one of them with --key")
        if not name and (not listed or _is_half_made(listed[0])):
            return None
        if may_lack and name and not _has(listed, name):
            return None
        return find_key(name or listed[0].primary.fingerprint, home, passphrase_file, datetime.now(UTC))

    return account.do(find)


def _is_directory(home: Path) -> bool:
    """Tell whether the directory of a keyring is there.

    Raises:
        SigningError: It can't be looked at.
    """
    try:
        return home.is_dir()
    except OSError as error:
        raise SigningError(
            f"gnupg_home {home} can't be used: {explain_unread(home, error)}",
            hint="make it readable, or give another path",
        ) from None


def check_new_home(home: Path) -> None:
    """Make sure that gpg is there and can work in a directory that does not exist yet.

    Raises:
        SigningError: It is not installed, or the path is too long for it.
    """
    if len(os.fsencode(home)) > _SOCKET_PATH_LIMIT:
        raise SigningError(f"the path {home} is too long for gpg", hint="give a shorter --state-dir")
    with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch:
        list_keys(Path(scratch), secret=True)
        stop_gpg_agent(Path(scratch))


def try_key_file(file: Path, name: str, passphrase_file: Path | None) -> SigningKey:
    """Sign with the secret key of a file, in a keyring that is gone afterwards.

    Args:
        file: What gpg exported.
        name: The id of the key in mirror.conf; '' if that names none yet.
        passphrase_file: Holds its passphrase; None for a key without one.

    Raises:
        SigningError: The file can't be read, is not a secret key or not the one with that id, or its key can't sign.
    """
    with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch:
        home = Path(scratch)
        try:
            _import(home, _read(file), file)
            listed = list_keys(home, secret=True)
            if len(listed) != 1:
                raise SigningError(
                    f"{file} holds {len(listed)} secret keys",
                    hint="export the one to sign with: `gpg --armor --export-secret-keys KEY`",
                )
            if name and not _has(listed, name):
                raise SigningError(
                    f"{file} holds the key {listed[0].primary.fingerprint}, but mirror.conf names {name}",
                    hint="give the file of that key; to replace it, see `packrat-agent key rotate`",
                )
            return find_key(name or listed[0].primary.fingerprint, home, passphrase_file, datetime.now(UTC))
        finally:
            stop_gpg_agent(home)


def take_key(account: Account, home: Path, file: Path) -> None:
    """Import the secret key of a file into the agent's keyring.

    Args:
        account: The user that the agent runs as.
        home: The directory of the keyring.
        file: The file with the key.

    Raises:
        SigningError: gpg does not take it.
    """
    data = _read(file)
    _in_home(account, home, lambda: _import(home, data, file))


def check_passphrase(passphrase_file: Path) -> None:
    """Make sure that a new key can get a passphrase.

    Raises:
        SigningError: The file can't be read, or holds none; gpg would make a key without one.
    """
    try:
        held = read_given(passphrase_file, _FILE_LIMIT).partition(b"\n")[0].strip()
    except OSError as error:
        raise SigningError(
            f"passphrase_file {passphrase_file} can't be read: {explain_unread(passphrase_file, error)}",
            hint="give a file that the agent's user can read, or leave --passphrase-file out",
        ) from None
    if not held:
        raise SigningError(
            f"passphrase_file {passphrase_file} holds no passphrase",
            hint="write one into its first line, or leave --passphrase-file out",
        )


def make_key(account: Account, home: Path, user_id: str, passphrase_file: Path | None) -> None:
    """Make a key in the agent's keyring, or finish the one that an interrupted `init` began.

    Args:
        account: The agent's user.
        home: The directory of the keyring.
        user_id: The user id of the key.
        passphrase_file: Holds the passphrase that it gets; None: it gets none.

    Raises:
        SigningError: gpg can't make it, or the passphrase can't be read.
    """

    def make() -> None:
        if passphrase_file is not None:
            check_passphrase(passphrase_file)
        unlock = unlock_new(passphrase_file)
        if not list_keys(home, secret=True):
            _gpg(home, *unlock, "--quick-generate-key", user_id, _ALGORITHM, "cert", "never")
        primary = list_keys(home, secret=True)[0].primary.fingerprint
        _gpg(home, *unlock, "--quick-add-key", primary, _ALGORITHM, "sign", "2y")

    _in_home(account, home, make)


def _has(keys: Sequence[ListedKeys], name: str) -> bool:
    wanted = name.replace(" ", "").removeprefix("0x").upper()
    return any(fingerprint.endswith(wanted) for key in keys for fingerprint in key.fingerprints)


def _is_half_made(key: ListedKeys) -> bool:
    """Tell whether this is a primary key that only certifies, to which no subkey was added yet."""
    return not key.subkeys and "s" not in key.primary.capabilities


def _in_home(account: Account, home: Path, work: Callable[[], None]) -> None:
    def do() -> None:
        try:
            work()
        finally:
            # One that runs on keeps the sandbox of this command; the service starts its own.
            stop_gpg_agent(home)

    account.do(do)


def _import(home: Path, data: bytes, file: Path) -> None:
    done = run_with_agent(home, "--import", data=data)
    if "IMPORT_OK" not in done.status:
        raise SigningError(
            f"gpg does not take {file} as a key: {done.reason}",
            hint="give what `gpg --armor --export-secret-keys KEY` prints",
        )


def _gpg(home: Path, *arguments: str) -> None:
    done = run_with_agent(home, *arguments)
    if done.returncode != 0:
        raise SigningError(f"gpg can't make a key in {home}: {done.reason}", hint="check whether gpg works there")


def _read(file: Path) -> bytes:
    try:
        return read_given(file, _FILE_LIMIT)
    except OSError as error:
        raise SigningError(
            f"the key file {file} can't be read: {explain_unread(file, error)}", hint="give another --key"
        ) from None
