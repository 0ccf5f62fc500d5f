"""Audits a tree with its files checked by another process: all that can be, though they are few."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from packrat_agent.verify import check_files, early_checks, processes
from packrat_agent.verify.findings import Audit
from packrat_agent.verify.tree import verify_tree


def audit_by_process(tree: Path) -> Audit:
    """What `verify` finds in a tree by another process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "_ENOUGH_FILES", 1)
        patch.setattr(processes, "count_cores", lambda: 2)
        # Some of them while the indexes are still read.
        patch.setattr(early_checks, "_BATCH_FILES", 1)
        # The thread with the process comes first, and leaves nothing for the one without.
        patch.setattr(check_files, "ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))
        return verify_tree(tree, None, lambda files, size: None)
