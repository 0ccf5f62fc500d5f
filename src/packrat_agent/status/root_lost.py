"""Finds out whether root_dir still is the tree that the state database remembers and the running agent works in."""

import os
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.status.lock_holder import Holder


def find_lost(root: Path, holder: Holder | None) -> str | None:
    """Say that root_dir is not the mirror's tree any more; None if it is, or can't be seen.

    Args:
        root: root_dir, of which the state database remembers files.
        holder: The agent at work, if one is.
    """
    try:
        os.stat(root / AGENT_DIR / "mark")  # fails for a user who may not look inside
    except (FileNotFoundError, NotADirectoryError):
        what = "does not hold the files of this mirror" if root.is_dir() else "is not there"
        return f"root_dir {root} {what}, which clients ask for: mount its filesystem"
    except OSError:
        return None
    if holder is not None and holder.here and _works_elsewhere(root, holder.pid):
        return (
            f"another filesystem is at root_dir {root} than when the agent (process {holder.pid}) started, and the "
            "agent still publishes into the former one, which clients don't see: mount the right one, then "
            "`systemctl restart packrat-agent`"
        )
    return None


def _works_elsewhere(root: Path, pid: int) -> bool:
    """Tell whether a process finds another directory at a path than this one does; False if that can't be seen.

    systemd gives the agent mounts of its own, in which root_dir stays what it was when the agent started. So nothing
    keeps the operator from unmounting it, and the agent doesn't notice.
    """
    try:
        return not os.path.samestat(os.stat(f"/proc/{pid}/root{os.path.realpath(root)}"), os.stat(root))
    except OSError:
        return False
