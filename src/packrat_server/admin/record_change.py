"""Tells an administrator what a command changes: each field of a record, before → after, and what clients lose.

A change is approved inside its transaction: `decide` is called with it before the commit, and raises to undo it.

Usage:

    change = save_repo(engine, repo, Approval(refuse_losses, reason="renamed"))
    print(*change.lines("repository apt-dev"), sep="\\n")
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from packrat_core.text import quote

Fields = Mapping[str, str]
"""A record as an administrator sees it: name of a field → its value."""


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One record that is made, changed or removed.

    Attributes:
        before: The fields before the change; None where the record is new.
        after: The fields after the change; None where the record is removed.
        secret: A new psk or password, which is stored nowhere; None where it stayed as it was.
        losses: What clients lose by it, a sentence each.
    """

    before: Fields | None
    after: Fields | None
    secret: str | None = None
    losses: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether the record was made by it."""
        return self.before is None

    def lines(self, what: str) -> list[str]:
        """Write one line for each field that changed; what: `repository apt-dev`."""
        if self.after is None:
            return [f"{what} removed: " + _listed(self.before or {})]
        if self.before is None:
            return [f"{what} made: " + _listed(self.after)]
        changes = [
            f"{what}: {field} {_printable(self.before[field])} → {_printable(value)}"
            for field, value in self.after.items()
            if value != self.before[field]
        ]
        return changes or [f"{what}: nothing changed"]


def _agree(_change: RecordChange) -> None:
    """Let every change be committed."""


@dataclass(frozen=True, slots=True)
class Approval:
    """The approval of a change: who lets it be committed, and why it is made.

    Attributes:
        decide: Lets the change be committed, or raises to undo it.
        reason: Why, for the record; '' for no reason.
    """

    decide: Callable[[RecordChange], None] = _agree
    reason: str = ""


APPROVED = Approval()
"""Every change is committed."""


def with_secret(change: RecordChange, name: str) -> RecordChange:
    """Add the line that a secret changed, which no field shows; name: `psk` or `password`."""
    if change.before is None or change.after is None or change.secret is None:
        return change
    return replace(change, before={**change.before, name: "the old one"}, after={**change.after, name: "a new one"})


def _listed(fields: Fields) -> str:
    return "; ".join(f"{field} {_printable(value)}" for field, value in fields.items())


def _printable(text: str) -> str:
    # A description may hold control characters, which would move the cursor of the terminal.
    return (text or "none") if text.isprintable() else quote(text)
