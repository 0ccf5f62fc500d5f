"""Copes with gpg-agent, which holds the secret keys: it may end at any moment, or not start at all.

An update of GnuPG ends it, and so do commands of packrat-agent that started one. gpg then fails in many words, one of
which is that the key is locked; its next run starts a new gpg-agent.
"""

import os
import time
from pathlib import Path

from packrat_agent.gpg.run import GpgResult, read_home, read_socket_directory, run_gpg
from packrat_core.errors import DiskError, PackratError, SigningError
from packrat_core.fs.file_tail import FileTail
from packrat_core.fs.free_space import is_full

ATTEMPTS = 3
PAUSE_S = 0.2
"""How long a gpg-agent that is about to end gets for that, before gpg is run again."""

_NO_AGENT = ("connect to the agent", "connect to the gpg-agent")
_ENDING = ("Broken pipe", "Connection reset by peer", "End of file", "IPC", "No agent running", "Operation cancelled")
"""What gpg says where gpg-agent ends while it is asked. Source: libgpg-error, err-codes.h."""


def run_with_agent(home: Path | None, *arguments: str, data: bytes | FileTail = b"") -> GpgResult:
    """Run gpg on a keyring with secret keys, and again where its gpg-agent ends meanwhile.

    Args:
        home: The directory of the keyring; None for this user's own.
        arguments: Options and command.
        data: What gpg reads from stdin.

    Raises:
        SigningError: gpg can't be started, takes too long, or writes too much.
    """
    for _ in range(ATTEMPTS - 1):
        result = run_gpg(home, *arguments, data=data)
        if result.returncode == 0 or not any(words in result.messages for words in _ENDING):
            return result
        time.sleep(PAUSE_S)
    return run_gpg(home, *arguments, data=data)


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
