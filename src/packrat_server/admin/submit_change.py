"""Puts what an administrator changes on record, in the transaction that makes the change."""

import os
import pwd

from sqlalchemy import Connection

from packrat_server.admin.record_change import Approval, RecordChange
from packrat_server.store.events import Author, Event, Via, add_event

_NAME_LIMIT = 50


def submit_change(
    connection: Connection, model: str, name: str, change: RecordChange, approval: Approval, action: str = ""
) -> None:
    """Add the event of a change, if anything changed, and ask for its approval.

    Args:
        connection: The transaction that makes the change.
        model: What was changed: `Repo/Repo`.
        name: Its name.
        change: The change.
        approval: Who lets it be committed, and why it is made.
        action: The command; '' for `set`, or `remove` if there is nothing afterwards.
    """
    if change.before != change.after:
        done = action or ("remove" if change.after is None else "set")
        add_event(connection, command_author(approval.reason), Event(done, model, name, change.before, change.after))
    approval.decide(change)


def command_author(reason: str) -> Author:
    """Give the account that runs a command, and the one that called sudo.

    Anyone who can run commands on the data directory can do everything there, so this is for the record only.
    """
    try:
        account = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        account = str(os.geteuid())
    caller = os.environ.get("SUDO_USER", "")
    name = f"{caller} as {account}" if caller.isprintable() and caller not in ("", account) else account
    return Author(name[:_NAME_LIMIT], Via.COMMAND, reason)
