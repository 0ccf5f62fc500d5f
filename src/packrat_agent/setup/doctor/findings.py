"""What `packrat-agent doctor` found: one value for each thing that it looked at."""

from dataclasses import dataclass
from enum import StrEnum

from packrat_core.errors import PackratError


class Level(StrEnum):
    """The state of a thing: good; allowed, but unwise or soon to fail; or wrong."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: What it belongs to, a word: `key`, `server`.
        level: How it is.
        text: What was found.
        hint: What to do; '' where there is nothing to do, or the text says it.
    """

    topic: str
    level: Level
    text: str
    hint: str = ""


def ok(topic: str, text: str) -> Finding:
    """Say that something is good."""
    return Finding(topic, Level.OK, text)


def warning(topic: str, text: str, hint: str = "") -> Finding:
    """Say that something is not wise, or will fail soon.

    Args:
        topic: What was looked at.
        text: What is not wise.
        hint: What to do about it.
    """
    return Finding(topic, Level.WARNING, text, hint)


def fault(topic: str, text: str, hint: str = "") -> Finding:
    """Say that something is wrong.

    Args:
        topic: What was looked at.
        text: What is wrong.
        hint: What to do about it.
    """
    return Finding(topic, Level.FAULT, text, hint)


def fault_of(topic: str, error: PackratError) -> Finding:
    """Tell an error that stops a command as a finding."""
    return Finding(topic, Level.FAULT, error.message, error.hint)
