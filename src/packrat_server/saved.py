"""Tells what a command changed: each field, before → after.

Takes: the fields of a record before and after.
Gives: Saved, and its lines for a terminal.
Touches: nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from packrat_core.text import quote

Fields = Mapping[str, str]
"""A record as an administrator sees it: name of a field → its value."""


@dataclass(frozen=True, slots=True)
class Saved:
    """One record that was made (before is None) or changed; secret: a new psk or password, which is stored nowhere."""

    before: Fields | None
    after: Fields
    secret: str | None = None

    def lines(self, what: str) -> list[str]:
        """One line for each field that changed; what: `repository apt-dev`."""
        if self.before is None:
            return [f"{what} made: " + "; ".join(f"{field} {_shown(value)}" for field, value in self.after.items())]
        changes = [
            f"{what}: {field} {_shown(self.before[field])} → {_shown(value)}"
            for field, value in self.after.items()
            if value != self.before[field]
        ]
        return changes or [f"{what}: nothing changed"]


def _shown(text: str) -> str:
    # A description may hold what would move the cursor.
    return (text or "none") if text.isprintable() else quote(text)
