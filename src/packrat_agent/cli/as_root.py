"""Refuses to work as root on a mirror that belongs to another user, and names the command that does it as that user."""

import os
import pickle
from collections.abc import Callable
from typing import TypeVar

from packrat_agent.config.settings import AGENT_DIR, Config
from packrat_agent.setup.owner import find_owner
from packrat_agent.status.lock_holder import find_holder
from packrat_core.errors import ConfigError
from packrat_core.fs.ownership import refuse_root

T = TypeVar("T")


def as_owner(config: Config, work: Callable[[], T]) -> T:
    """Do work as the user whose keyring and mirror it is, where this is root; else as this user.

    The work is done in a process of its own, which can't become root again. So gpg makes no file there that the agent
    may not read, and starts no program of that user as root.

    Args:
        config: Names the places.
        work: Gives a value that can be pickled.

    Raises:
        ConfigError: It is not clear whose mirror it is, or the process ended without an answer.
        PackratError: That of the work.
    """
    owner = find_owner(config) if os.geteuid() == 0 else None
    if owner is None:
        return work()
    try:
        return owner.do(work)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"could not work as user {owner.name}: {error}", hint="run this command as the agent's user"
        ) from error


def refuse_as_root(config: Config, *, asks_a_running_agent: bool = False) -> None:
    """Stop root before it makes files in another user's mirror, which would stop that user's agent.

    Args:
        config: Names the places.
        asks_a_running_agent: Where an agent runs on this host, the command only asks that one, which root may do.

    Raises:
        ConfigError: This is root, and the mirror belongs to another user.
    """
    if os.geteuid() != 0:
        return
    mirror = config.mirror
    if asks_a_running_agent:
        holder = find_holder(mirror.state_db)
        if holder is not None and holder.here:
            return
    own = [("the agent's directory", mirror.root_dir / AGENT_DIR), ("the state database", mirror.state_db)]
    around = [("root_dir", mirror.root_dir), ("the directory of state_db", mirror.state_db.parent)]
    if mirror.gnupg_home is not None:
        around.append(("gnupg_home", mirror.gnupg_home))
    refuse_root(own, around)
