"""Tells an administrator what a command changed: each field of a record, before → after."""

from collections.abc import Mapping
from dataclasses import dataclass

from packrat_core.text import quote

Fields = Mapping[str, str]
"""A record as an administrator sees it: name of a field → its value."""


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One record that was made or changed.

    Attributes:
        before: The fields before the change; None where the record is new.
        after: The fields after the change.
        secret: A new psk or password, which is stored nowhere; None where it stayed as it was.
    """

    before: Fields | None
    after: Fields
    secret: str | None = None

    def lines(self, what: str) -> list[str]:
        """Write one line for each field that changed; what: `repository apt-dev`."""
        if self.before is None:
            return [f"{what} made: " + "; ".join(f"{field} {_printable(value)}" for field, value in self.after.items())]
        changes = [
            f"{what}: {field} {_printable(self.before[field])} → {_printable(value)}"
            for field, value in self.after.items()
            if value != self.before[field]
        ]
        return changes or [f"{what}: nothing changed"]


def with_secret(change: RecordChange, name: str) -> RecordChange:
    """Add the line that a secret changed, which no field shows; name: `psk` or `password`."""
    if change.before is None or change.secret is None:
        return change
    return RecordChange({**change.before, name: "the old one"}, {**change.after, name: "a new one"}, change.secret)


def _printable(text: str) -> str:
    # A description may hold control characters, which would move the cursor of the terminal.
    return (text or "none") if text.isprintable() else quote(text)
