"""Explains who owns a file, why this user may not use it, and which command mends that."""

import grp
import os
import pwd
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from shlex import join, quote

from packrat_core.errors import ConfigError
from packrat_core.fs.immutable import explain_immutable

_ROOT = 0
_EFFECTIVE = os.access in os.supports_effective_ids


def user_name(uid: int) -> str:
    """Name a user; the number where it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def describe_owner(path: Path) -> str:
    """Say whose a path is, with its mode, and who this process is.

    Raises: OSError
    """
    found = path.stat()
    group = _group_name(found.st_gid)
    return (
        f"{path} belongs to {user_name(found.st_uid)}:{group} with mode {stat.S_IMODE(found.st_mode):04o}, "
        f"and this is user {user_name(os.geteuid())}"
    )


def explain_unreadable(path: Path) -> str | None:
    """Say why this user may not read a file, and how to let its group do so; None where it may."""
    closed = _closed_directory(path)
    if closed is not None:
        return closed
    if not _is_there(path) or _has_permission(path, os.R_OK):
        return None
    group = _group_name(os.getegid())
    found = path.stat()
    if found.st_uid == os.geteuid():
        return f"{describe_owner(path)}; {_own_again(path)}"
    change = "" if found.st_gid == os.getegid() else f"chgrp {group} {quote(str(path))} && "
    return (
        f"{describe_owner(path)}; run this as root or as the user that the file is for; if that is this user, as root: "
        f"`{change}chmod 0640 {quote(str(path))}`"
    )


def explain_unread(path: Path, error: OSError) -> str:
    """Say why a file could not be read: whose it is and what to do where that is why, else what the system says."""
    why = explain_unreadable(path) if isinstance(error, PermissionError) else None
    return why or error.strerror or str(error)


def explain_unwritable(*paths: Path) -> str | None:
    """Say which of these this user may not change, and how to give all of them to this user; None where it may.

    What does not exist does not count, nor does a read-only filesystem, which no owner helps.
    """
    denied: list[Path] = []
    for path in paths:
        closed = _closed_directory(path)
        if closed is not None:
            return closed
        needed = os.W_OK | (os.X_OK if _is_directory(path) else 0)
        if _is_there(path) and not _is_read_only(path) and not _has_permission(path, needed):
            denied.append(path)
    if not denied:
        return None
    if (fixed := explain_immutable(*denied)) is not None:
        return fixed
    closed_own = next((path for path in denied if path.stat().st_uid == os.geteuid()), None)
    if closed_own is not None:
        return f"{describe_owner(closed_own)}; {_own_again(closed_own)}"
    return f"{describe_owner(denied[0])}; as root: `chown -R {_this_user()} {_shown(denied)}`"


def explain_unmakable(directory: Path) -> str | None:
    """Say why this user may not make a directory, and how to make it for this user; None where it may."""
    closed = _closed_directory(directory)
    if closed is not None:
        return closed
    above = directory.parent
    while not _is_there(above) and above != above.parent:
        above = above.parent
    if _is_read_only(above) or _has_permission(above, os.W_OK | os.X_OK):
        return None
    if (fixed := explain_immutable(above)) is not None:
        return fixed
    if above.stat().st_uid == os.geteuid():
        return f"{describe_owner(above)}; {_own_again(above)}"
    user, _, group = _this_user().partition(":")
    return f"{describe_owner(above)}; as root: `install -d -o {user} -g {group} {quote(str(directory))}`"


def explain_not_owned(path: Path) -> str | None:
    """Say that a path, whose mode only its owner may set, belongs to another user; None where it does not."""
    if not _is_there(path) or os.geteuid() in (_ROOT, path.stat().st_uid):
        return None
    return f"{describe_owner(path)}; as root: `chown -R {_this_user()} {quote(str(path))}`"


def explain_denied(path: Path) -> str | None:
    """Say why this user may not make, change or remove what is at a path; None where no owner or attribute is why."""
    try:
        if not _is_there(path) and not _is_there(path.parent):
            return explain_unmakable(path)
        # An append-only directory may be written to, but nothing in it be replaced or removed.
        return explain_immutable(path, path.parent) or explain_not_owned(path) or explain_unwritable(path, path.parent)
    except OSError:
        return None


def first_unusable(directory: Path) -> str | None:
    """Say what this user may not read in a small directory of its own, two levels deep, and how to give it back.

    None where it may read everything.
    """
    closed = _closed_directory(directory)
    if closed is not None:
        return closed
    for path in _below(directory, 2):
        if not _has_permission(path, os.R_OK | (os.X_OK if _is_directory(path) else 0)):
            if path.stat(follow_symlinks=False).st_uid == os.geteuid():
                return f"{describe_owner(path)}; {_own_again(path)}"
            return f"{describe_owner(path)}; as root: `chown -R {_this_user()} {quote(str(directory))}`"
    return None


def refuse_root(own: Sequence[tuple[str, Path]], around: Sequence[tuple[str, Path]]) -> None:
    """Refuse to work as root in the place of another user, whose agent could not change what root makes there.

    Args:
        own: What an agent made itself, each with a name for the message. Where any of it exists, its owner counts.
        around: Where it would make them; counts where nothing of `own` exists.

    Raises:
        ConfigError: This is root, and a path belongs to another user.
    """
    if os.geteuid() != _ROOT:
        return
    made = _owners(own)
    for name, path, uid in made or _owners(around):
        if uid != _ROOT:
            user = user_name(uid)
            raise ConfigError(
                f"{name} {path} belongs to user {user}, and this is root: {user} could not change what root makes "
                f"there",
                hint=f"run it as that user: `runuser -u {user} -- {_this_command()}`",
            )


def explain_as_owner(directory: Path, *files: Path) -> str | None:
    """Say that another user's directory, or a file in it, is closed, and name this command as that user; else None."""
    if not _is_there(directory) or directory.stat().st_uid == os.geteuid():
        return None
    for path in (directory, *files):
        if _is_there(path) and not _has_permission(path, os.R_OK | (os.X_OK if path == directory else 0)):
            owner = user_name(directory.stat().st_uid)
            return f"{describe_owner(path)}; as root: `runuser -u {owner} -- {_this_command()}`"
    return None


def _this_command() -> str:
    """Give the command line of this process, to be given again as another user."""
    # It imports what reads archives, which takes longer than all else here.
    import shutil

    program = Path(sys.argv[0])
    return join([program.name if shutil.which(program.name) else str(program.absolute()), *sys.argv[1:]])


def _owners(paths: Iterable[tuple[str, Path]]) -> list[tuple[str, Path, int]]:
    found = []
    for name, path in paths:
        # A link counts by its own owner too: it may lead to what is root's.
        for follow in (False, True):
            try:
                found.append((name, path, path.stat(follow_symlinks=follow).st_uid))
            except OSError:
                continue
    return found


def _below(directory: Path, depth: int) -> Iterable[Path]:
    yield directory
    if depth == 0 or not _is_directory(directory) or not _has_permission(directory, os.R_OK | os.X_OK):
        return
    for path in sorted(directory.iterdir()):
        if path.is_symlink():
            continue
        if _is_directory(path):
            yield from _below(path, depth - 1)
        else:
            # A socket too: that of a gpg-agent which root started here is closed to this user.
            yield path


def _closed_directory(path: Path) -> str | None:
    """Find the first directory on the way to `path` that this user may not go through."""
    for directory in reversed(path.absolute().parents):
        if not _has_permission(directory, os.X_OK):
            if not _is_directory(directory):
                return None
            if directory.stat().st_uid == os.geteuid():
                return f"{describe_owner(directory)}, who may not go through it; {_own_again(directory)}"
            if _is_hidden(directory):
                return (
                    f"{directory} is hidden from this service by the unit that runs it: set ProtectHome=no there by "
                    f"`systemctl edit`, or move {path} elsewhere"
                )
            shown = quote(str(directory))
            return (
                f"{describe_owner(directory)}, who may not go through it; as root: `chmod o+x {shown}`, or, "
                f"where only this program uses it, `chown -R {_this_user()} {shown}`"
            )
    return None


def _is_hidden(directory: Path) -> bool:
    """Tell whether it is what systemd puts in the place of a directory by ProtectHome= and InaccessiblePaths=."""
    found = directory.stat()
    return found.st_uid == _ROOT and stat.S_IMODE(found.st_mode) == 0


def _own_again(path: Path) -> str:
    """Name the command by which this user may use again what is its own."""
    return f"it is this user's own: `chmod u+{'rwx' if _is_directory(path) else 'rw'} {quote(str(path))}`"


def _is_directory(path: Path) -> bool:
    """Like Path.is_dir, but False where a directory on the way is closed, or the name is too long."""
    return os.path.isdir(path)


def _has_permission(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=_EFFECTIVE)


def _is_there(path: Path) -> bool:
    """Like Path.exists, but False where a directory on the way is closed."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _this_user() -> str:
    return f"{user_name(os.geteuid())}:{_group_name(os.getegid())}"


def _shown(paths: Iterable[Path]) -> str:
    return " ".join(quote(str(path)) for path in paths)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
