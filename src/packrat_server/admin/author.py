"""Tells who runs a command on the data directory."""

import os
import pwd

from packrat_server.store.events import Author, Via

_NAME_LIMIT = 50


def command_author(reason: str = "") -> Author:
    """Give the account that runs a command, and the one that sudo was called by.

    Whoever runs commands on the data directory may do everything there, so this is for the record, not for a decision.
    """
    try:
        account = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        account = str(os.geteuid())
    caller = os.environ.get("SUDO_USER", "")
    name = f"{caller} as {account}" if caller.isprintable() and caller not in ("", account) else account
    return Author(name[:_NAME_LIMIT], Via.COMMAND, reason)
