"""Completes a publication that a crash cut off, from what is on disk: it needs neither the server nor the key.

- Not all new pointers were ready: clients have the former publication whole. It stays; the next sync publishes again,
  and adopts files that are in place with the right hash.
- They were ready: the rest is renamed into place, and the state database learns all of it, as if nothing had
  happened.
"""

import time
from collections.abc import Collection
from pathlib import Path

import structlog

from packrat_agent.model.paths import is_kept
from packrat_agent.model.tree import Intent
from packrat_agent.publish.pointers import (
    are_pointers_ready,
    discard_pointers,
    discard_unknown_pointers,
    find_lacking,
    show_pointers,
)
from packrat_agent.state.store import Store
from packrat_core.errors import DiskError
from packrat_core.text import name_some

log = structlog.get_logger()

_MENDED = "the next full sync repairs it"


def roll_forward_all(store: Store, root: Path, kept: Collection[str]) -> None:
    """Complete what a crash or a failing disk cut off; if the disk still fails, leave it to the next full sync.

    It is called at the start, and before the mirror's repositories change. Nobody may publish while it runs.

    Args:
        store: The state database.
        root: root_dir, which the agent has marked.
        kept: The paths below `root` that the operator keeps.

    Raises:
        DiskError: The state database can't be read.
    """
    cut_off = store.intents.cut_off()
    for intent in cut_off:
        try:
            _roll_forward(intent, store, root, kept)
        except DiskError as error:
            log.warning("interrupted", repo=intent.repo.name or None, reason=str(error), text=_MENDED)
    discard_unknown_pointers(root, [intent.repo for intent in store.intents.cut_off()])


def roll_forward(repo: str, store: Store, root: Path, kept: Collection[str]) -> None:
    """Complete what this process began to publish of a repository before its disk failed.

    Args:
        repo: The name of the repository, '' for the site.
        store: The state database.
        root: root_dir.
        kept: The paths below `root` that the operator keeps.

    Raises:
        DiskError: The disk still fails.
    """
    for intent in store.intents.cut_off(repo):
        _roll_forward(intent, store, root, kept)


def _roll_forward(intent: Intent, store: Store, root: Path, kept: Collection[str]) -> None:
    repo = intent.repo
    if are_pointers_ready(root, repo):
        lacking = _find_lacking(intent, root, kept)
        if lacking is None:
            store.intents.end(intent, show_pointers(intent, root), time.time())
            discard_pointers(root, repo)
            publications = name_some([publication.name for publication in intent.publications], ",") or None
            log.info("completed", repo=repo.name or None, publications=publications)
            return
        log.warning("interrupted", repo=repo.name or None, path=lacking, text=f"can't be completed: {_MENDED}")
    store.intents.give_up(intent)
    discard_pointers(root, repo)


def _find_lacking(intent: Intent, root: Path, kept: Collection[str]) -> str | None:
    """Name what keeps a publication from being completed: a file that is gone, or one that the operator keeps now."""
    mine = (file.path for file in intent.pointers if is_kept(file.path, kept))
    return next(mine, None) or find_lacking(intent, root)
