"""Questions about package files and their answers: values alone, which need no database."""

from dataclasses import dataclass
from typing import Any

from packrat_core.text import quote

Record = dict[str, Any]

STATES = ("active", "failed", "deprocated")
FOUND_LIMIT = 10_000
"""Number of records that one question is answered with at most."""
_SHOWN_LENGTH = 60


@dataclass(frozen=True, slots=True)
class FileQuery:
    """What is looked for; '' stands for any."""

    name: str = ""
    package: str = ""
    tag: str = ""
    distro: str = ""
    state: str = ""
    limit: int = FOUND_LIMIT


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared: two tags or repositories; of one package or distribution version if these are not ''."""

    first: str
    second: str
    package: str = ""
    distro: str = ""
    limit: int = FOUND_LIMIT


@dataclass(frozen=True, slots=True)
class Found:
    """The records that were found, and whether there are more than were asked for."""

    records: list[Record]
    more: bool


class NoSuchName(Exception):
    """A question names something that does not exist.

    Attributes:
        field: The argument of the action that names it.
        problem: What is wrong.
        hint: What there is instead.
    """

    def __init__(self, field: str, what: str, name: str, there_are: str) -> None:
        shown = name if len(name) <= _SHOWN_LENGTH else name[:_SHOWN_LENGTH] + "…"
        self.field = field
        self.problem = f"there is {what} {repr(shown) if shown.isprintable() else quote(shown)}"
        self.hint = f"there are {there_are or 'none yet'}"
        super().__init__(f"{self.problem}, {self.hint}")
