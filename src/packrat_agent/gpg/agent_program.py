"""Explains why gpg has no secret keys at all: gpg-agent, which holds them, can't be started."""

import os
from pathlib import Path

from packrat_agent.gpg.run import read_home, read_socket_directory, run_gpg
from packrat_core.errors import DiskError, PackratError, SigningError
from packrat_core.fs.free_space import is_full

_NO_AGENT = ("connect to the agent", "connect to the gpg-agent")


def explain_no_agent(home: Path | None) -> PackratError | None:
    """Say why gpg-agent can't be started for a keyring; None if that is not the trouble.

    Args:
        home: The directory of the keyring; None for this user's own.

    Raises:
        SigningError: gpg can't be used.
    """
    tried = run_gpg(home, "--with-colons", "--list-secret-keys")
    if not any(words in tried.messages for words in _NO_AGENT):
        return None
    place, sockets = read_home(home), read_socket_directory(home)
    text = f"gpg-agent, which holds the secret keys of {place}, can't be started"
    for directory in (place, sockets):
        # gpg names a file of its own here, another one each time; a fault that lasts must not look new.
        if is_full(directory):
            return DiskError(f"{text}: the disk of {directory} is full", hint="free space there")
        if _is_read_only(directory):
            return DiskError(
                f"{text}: {directory} is on a read-only file system",
                hint="remount it writable; under systemd, name the directory in `ReadWritePaths`",
            )
    hint = f"see that it is installed (`apt-get install gpg-agent`), and that this user may write to {sockets}"
    return SigningError(f"{text}: {tried.reason}", hint=hint)


def _is_read_only(directory: Path) -> bool:
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False
