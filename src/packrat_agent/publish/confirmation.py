"""Hands what an operator confirms to the agent that runs: `sync` leaves an empty file for each word, `run` takes it."""

from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.changes import Confirmed
from packrat_core.fs.atomic import write_new
from packrat_core.fs.disk_errors import as_disk_error

_WORDS = ("accept-removals", "trust-clock")


def confirm(root: Path, confirmed: Confirmed) -> None:
    """Leave for the agent that runs here what the operator confirms; `take_confirmed` finds it.

    Raises:
        DiskError: The words can't be written.
    """
    for name, is_confirmed in zip(_WORDS, (confirmed.removals, confirmed.clock), strict=True):
        if is_confirmed:
            write_new(root / AGENT_DIR / name, b"")


def take_confirmed(root: Path) -> Confirmed:
    """Give, once, what the operator left word of.

    Raises:
        DiskError: The words can't be taken away.
    """
    removals, clock = (_take(root / AGENT_DIR / name) for name in _WORDS)
    return Confirmed(removals, clock)


def _take(path: Path) -> bool:
    with as_disk_error("take", path):
        # Looked for first: a read-only filesystem refuses to unlink even what is not there.
        if not path.exists():
            return False
        path.unlink()
    return True
