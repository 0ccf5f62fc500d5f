"""Finds the user that the mirror belongs to, by the owners of its keyring and its state.

Root works as that user. Anyone who can write there must not, by a link or a directory that is swapped in, make root
work as root or as a third user. So a link counts by its own owner too, and root works as root only where all is root's.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from packrat_agent.config.settings import Config
from packrat_agent.setup.account import Account, account_of
from packrat_core.errors import ConfigError
from packrat_core.fs.ownership import user_name

_ROOT = 0
_MOST_LINKS = 40


def find_owner(config: Config) -> Account | None:
    """Find the user whose mirror it is; None where nothing of it is there yet.

    Args:
        config: Names the places.

    Raises:
        ConfigError: They belong to several users, or another user can put something else into their place.
    """
    mirror = config.mirror
    made = [path for path in (mirror.gnupg_home, mirror.state_db) if path is not None]
    paths = [*made, mirror.state_db.parent]
    if not any(os.path.lexists(path) for path in made):
        paths.append(mirror.root_dir)
    owners = [(path, uid) for path in paths for uid in _owners(path)]
    if not owners:
        return None
    path, uid = next(((path, uid) for path, uid in owners if uid != _ROOT), owners[0])
    for other, other_uid in owners:
        if other_uid not in (_ROOT, uid):
            raise ConfigError(
                f"{path} belongs to user {user_name(uid)}, and {other} to user {user_name(other_uid)}: it is not clear "
                "whose mirror this is",
                hint="give both to the agent's user (`chown -h`), or run this command as that user",
            )
    for path in paths:
        _check_way(path, uid)
    return account_of(uid)


def _owners(path: Path) -> set[int]:
    """Find the owner of what stands at a path; of a link, that of its target too."""
    found = set()
    for follow in (False, True):
        try:
            found.add(path.stat(follow_symlinks=follow).st_uid)
        except OSError:
            continue
    return found


def _check_way(path: Path, uid: int) -> None:
    """Make sure that nobody but root and a user can have a path lead elsewhere; for root, nobody but root.

    Raises:
        ConfigError: Another user can.
    """
    for step, found in _walk(path):
        if found.st_uid not in (_ROOT, uid):
            raise ConfigError(
                f"{step}, on the way to {path}, belongs to user {user_name(found.st_uid)}, and the mirror to "
                f"{user_name(uid)}",
                hint=f"give it to root or to {user_name(uid)} (`chown -h`), or run this command as the agent's user",
            )
        # Anyone who may write to a directory can rename what root has in it, unless it is sticky.
        others = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != _ROOT)
        if uid == _ROOT and others and stat.S_ISDIR(found.st_mode) and not found.st_mode & stat.S_ISVTX:
            raise ConfigError(
                f"others may write to {step}, on the way to {path}, so root does not work there",
                hint=f"`chmod go-w {quote(str(step))}`, or give the mirror to the agent's user",
            )


def _walk(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Go through all that a path leads through, links and what they lead to as well, as far as it is there."""
    here, left, links = Path(path.anchor), list(reversed(path.parts[1:])), 0
    while True:
        try:
            found = here.lstat()
            if stat.S_ISLNK(found.st_mode):
                target, links = here.readlink(), links + 1
                yield here, found
                here = Path(target.anchor) if target.is_absolute() else here.parent
                left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            else:
                yield here, found
        except OSError:
            return
        if not left or links > _MOST_LINKS:
            return
        name = left.pop()
        here = here.parent if name == ".." else here / name
