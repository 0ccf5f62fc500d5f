"""Finds publications that were interrupted, by the new pointers that still stand ready beside the tree."""

import os
from collections.abc import Iterator
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.verify.findings import Warned
from packrat_core.fs.locks import is_locked

_READY = "repo-"
INTERRUPTED = "a publication was interrupted; the agent completes it at its next start"
_UNDER_WAY = "a publication is under way; what is wrong may be right in a moment, so verify again"


def is_followed(top: Path) -> bool:
    """Say whether an agent of this host works on a tree, so that it may change at any time."""
    return is_locked(top / AGENT_DIR / "lock")


def find_interrupted(top: Path) -> Iterator[Warned]:
    """Warn of each repository whose pointers may be of two publications; of none where this user may not look.

    The warning alone is not a fault: up to the first pointer that was replaced, the tree is whole.
    """
    own = top / AGENT_DIR
    what = _UNDER_WAY if is_followed(top) else INTERRUPTED
    for name in sorted(_list(own / "publishing")):
        if name.startswith(_READY) and _list(own / "publishing" / name):
            yield Warned(name.removeprefix(_READY) or "the site", what)


def _list(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(directory)]
    except OSError:
        return []
