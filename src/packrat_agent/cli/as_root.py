"""Refuses to work as root on a mirror that belongs to another user, and names the command that does it as that user."""

import os
import pickle
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from packrat_agent.config.settings import AGENT_DIR, Config
from packrat_agent.status.lock_holder import find_holder
from packrat_core.errors import ConfigError, PackratError
from packrat_core.fs.ownership import refuse_root

T = TypeVar("T")


def as_owner(config: Config, work: Callable[[], T]) -> T:
    """Do work as the user whose keyring and mirror it is, where this is root; else as this user.

    The work is done in a process of its own, which can't become root again. So gpg makes no file there that the agent
    may not read.

    Args:
        config: Names the places.
        work: Gives a value that can be pickled.

    Raises:
        PackratError: That of the work.
    """
    owner = _owner(config) if os.geteuid() == 0 else 0
    if owner == 0:
        return work()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read_end)
            _become(owner)
            try:
                result: tuple[T | None, type[PackratError] | None, str, str] = (work(), None, "", "")
            except PackratError as error:
                result = (None, type(error), error.message, error.hint)
            with os.fdopen(write_end, "wb") as pipe:
                pickle.dump(result, pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    if not data:
        raise ConfigError(f"could not work as user {owner}", hint="run this command as the agent's user")
    # Only this program's own child writes here.
    value, kind, message, hint = pickle.loads(data)  # noqa: S301
    if kind is not None:
        raise kind(message, hint=hint)
    return value  # type: ignore[no-any-return]


def _owner(config: Config) -> int:
    """Find the user id of the agent; root's where nothing tells."""
    mirror = config.mirror
    for path in (mirror.gnupg_home, mirror.state_db, mirror.state_db.parent, mirror.root_dir):
        if path is not None and path.exists():
            return path.stat().st_uid
    return 0


def _become(uid: int) -> None:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        os.setgroups([])
        os.setuid(uid)
        return
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(uid)
    os.environ |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    if not os.access(Path.cwd(), os.X_OK):
        os.chdir("/")


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
