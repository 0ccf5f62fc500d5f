"""Makes sure that root_dir and the state database belong to this agent, and that only one agent uses them."""

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.changes import Confirmed
from packrat_agent.publish.server_data import is_server_data
from packrat_agent.state.lock_files import holder_file, lock_file, process_table, read_holder
from packrat_agent.state.original import is_original
from packrat_core.errors import Busy, ConfigError, DiskError, NotOurs
from packrat_core.fs.atomic import replace, write_new
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.flush import flush_directories
from packrat_core.fs.links import ensure_directory
from packrat_core.fs.locks import FileLock
from packrat_core.fs.open import open_new, read_regular
from packrat_core.fs.ownership import explain_unwritable

_WORDS = ("accept-removals", "trust-clock")
_SHOWN = 5
_READ_LIMIT = 4096
HARMLESS = frozenset({AGENT_DIR, "lost+found"})


@contextmanager
def claim(root: Path, state_db: Path, command: str) -> Iterator[Path]:
    """Hold root_dir and the state database against every other agent, for as long as the context lasts.

    Args:
        root: root_dir; it is made if need be.
        state_db: The state database, which need not exist.
        command: The command that is at work here, `run` or `sync`, for the message to others.

    Yields:
        The staging directory.

    Raises:
        Busy: Another agent is at work; it names that agent.
        ConfigError: root_dir is a link, or not a directory.
        DiskError: The directories can't be made, or this user may not write there.
    """
    with as_disk_error("make the directory", root):
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        is_directory = root.is_dir() and not root.is_symlink()
    if not is_directory:
        raise ConfigError(f"root_dir {root} is not a directory of its own", hint="give the real directory's path")
    with as_disk_error("make the directory", state_db.parent):
        state_db.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    check_writable(root, state_db)
    own = ensure_directory(root, AGENT_DIR)
    with as_disk_error("close to others", own):
        own.chmod(0o700)
    with ExitStack() as held:
        held.enter_context(_lock(lock_file(state_db), f"the state database {state_db}", command))
        try:
            held.enter_context(_lock(own / "lock", f"root_dir {root}", command))
        except Busy as busy:
            # Anybody who may write to root_dir could name any process there, and a signal is sent to the one named.
            raise Busy(busy.message, None, hint=busy.hint) from None
        yield ensure_directory(root, f"{AGENT_DIR}/staging")


def check_writable(root: Path, state_db: Path) -> None:
    """Report together all that this user may not change, such as files that were made as root.

    Raises:
        DiskError: This user may not change something that the agent works with.
    """
    lock = lock_file(state_db)
    state = [state_db, lock, holder_file(lock), *(state_db.with_name(state_db.name + end) for end in ("-wal", "-shm"))]
    with as_disk_error("read", root):
        denied = explain_unwritable(root, root / AGENT_DIR, state_db.parent, *state)
    if denied is not None:
        raise DiskError(f"this user may not change what the agent works with: {denied}")


@contextmanager
def _lock(path: Path, what: str, command: str) -> Iterator[None]:
    holder = holder_file(path)
    with as_disk_error("lock", path):
        lock = FileLock(path)
    with lock:
        with as_disk_error("lock", path):
            is_ours = lock.try_exclusive()
        if not is_ours:
            at_work, runner = _name_holder(path)
            raise Busy(f"{what} is in use by {at_work}", runner, hint="stop that agent first")
        try:
            with as_disk_error("write", holder):
                entry = {"pid": os.getpid(), "host": socket.gethostname(), "command": command}
                entry["processes"] = process_table()
                with open_new(holder) as file:
                    file.write(json.dumps(entry).encode())
            yield
        finally:
            # Without a lock beside it, this file is ignored.
            with suppress(OSError):
                holder.unlink()


def _name_holder(lock: Path) -> tuple[str, int | None]:
    """Tell who holds a lock, and its process id where it is a `run` that this process can send a signal."""
    holder = None
    with suppress(OSError):
        holder = read_holder(lock)
    if holder is None:
        return "another packrat-agent", None
    # An agent of an earlier version says nothing of its processes.
    is_known = bool(holder.processes)
    is_here = holder.processes == process_table() if is_known else holder.host == socket.gethostname()
    at_work = f"process {holder.pid} on {holder.host} (packrat-agent {holder.command})"
    return at_work, holder.pid if holder.command == "run" and is_here and holder.pid > 1 else None


def write_confirmed(state_db: Path, confirmed: Confirmed) -> None:
    """Leave the operator's confirmation for the agent that runs here; `take_confirmed` finds it.

    It stands beside the state database, since others may be able to write to root_dir.

    Raises: DiskError
    """
    for word, is_confirmed in zip(_WORDS, (confirmed.removals, confirmed.clock), strict=True):
        if is_confirmed:
            write_new(state_db.with_name(f"{state_db.name}.{word}"), ())


def take_confirmed(state_db: Path) -> Confirmed:
    """Take what the operator has confirmed; a confirmation counts once.

    Raises: DiskError
    """
    removals, clock = (_take(state_db.with_name(f"{state_db.name}.{word}")) for word in _WORDS)
    return Confirmed(removals, clock)


def _take(path: Path) -> bool:
    with as_disk_error("take", path):
        # Look for it first: a read-only filesystem refuses to unlink even what is not there.
        if not path.exists():
            return False
        path.unlink()
    return True


def check_mounted(root: Path) -> None:
    """Make sure that root_dir is still the directory that was marked; an unmounted filesystem leaves an empty one.

    Raises:
        DiskError: The mark is not there, or root_dir can't be read.
    """
    with as_disk_error("read", root):
        marked = (root / AGENT_DIR / "mark").is_file()
    if not marked:
        raise DiskError(
            f"root_dir {root} no longer has this agent's mark",
            hint="mount its filesystem: nothing is removed or written until it is back. If it was emptied on "
            "purpose, run `packrat-agent sync --adopt`",
        )


def refuse_unmanaged(root: Path, state_db: Path, keep: Sequence[Path]) -> None:
    """Refuse, before anything is touched, to work on a tree or state database that was never this agent's.

    Args:
        root: root_dir, which need not exist.
        state_db: the state database, which need not exist.
        keep: the operator's keep files, which are nobody else's.

    Raises:
        NotOurs: with what was found, and what to do.
        DiskError: one of them can't be read.
    """
    refuse_server_data(root)
    outer = _find_outer(root)
    if outer is not None:
        raise NotOurs(
            f"root_dir {root} lies in {outer}, which is the root_dir of another mirror",
            hint="give each mirror a directory of its own, neither inside the other; if no packrat-agent works in "
            f"{outer} any more, remove {outer / AGENT_DIR}",
        )
    if is_original(state_db):
        raise NotOurs(
            f"the state database {state_db} is that of the original packrat agent, and nothing was touched. Stop that "
            "agent for good, see what `packrat-agent sync --dry-run` says, and run `packrat-agent sync --adopt`: it "
            f"takes over that state and the tree {root}"
        )
    found = find_unmanaged(root, keep)
    if found:
        raise _not_ours(root, found)


def refuse_server_data(root: Path) -> None:
    """Refuse, also for a takeover, a root_dir that is the data directory of a packrat-server, or a new one inside it.

    Raises:
        NotOurs: a packrat-server keeps its data there.
        DiskError: root_dir can't be read.
    """
    with as_disk_error("read", root):
        inside = Path(os.path.realpath(root))
        found = next((path for path in (inside, *inside.parents) if is_server_data(os.fspath(path))), None)
        is_refused = found is not None and (found == inside or not _is_marked(root))
    if is_refused:
        where = "is" if found == inside else f"lies in {found},"
        raise NotOurs(
            f"root_dir {root} {where} the data directory of a packrat-server, and nothing was touched",
            hint="set root_dir to a directory of the mirror's own, such as /var/www/repo",
        )


def find_unmanaged(root: Path, keep: Sequence[Path]) -> list[str]:
    """Name what stands in a root_dir that no packrat-agent has marked; none where it is marked, missing or empty.

    Raises:
        DiskError: it can't be read.
    """
    with as_disk_error("read", root):
        if not root.is_dir() or _is_marked(root):
            return []
        return sorted(path.name for path in root.iterdir() if path.name not in HARMLESS and path not in keep)


def _find_outer(root: Path) -> Path | None:
    """Find the root_dir of another agent around a new one; an agent does not touch other filesystems inside its own."""
    with as_disk_error("read", root):
        if _is_marked(root):
            return None
        above = [path for path in Path(os.path.realpath(root)).parents if path.exists()]
        device = (root if root.exists() else above[0]).stat().st_dev
        return next((path for path in above if path.stat().st_dev == device and _is_marked(path)), None)


def _is_marked(root: Path) -> bool:
    """Tell whether a packrat-agent works in root_dir; of a closed directory, `claim` says who closed it."""
    try:
        return (root / AGENT_DIR / "mark").is_file()
    except PermissionError:
        return True


def _not_ours(root: Path, found: Sequence[str]) -> NotOurs:
    shown = ", ".join(repr(name) for name in found[:_SHOWN]) + (" and more" if len(found) > _SHOWN else "")
    return NotOurs(
        f"root_dir {root} holds files that no packrat-agent put there ({shown}); a full sync would remove them",
        hint="set root_dir to an empty directory, or run `packrat-agent sync --adopt` to take this one over. If a "
        f"mirror's root_dir was copied there without hidden files, copy its {AGENT_DIR}, too",
    )


def check_ownership(root: Path, mirror: str, keep: Sequence[Path], *, adopt: bool, had_files: bool) -> None:
    """Refuse to clean up a directory that was never this agent's; mark it once it is.

    Args:
        root: root_dir.
        mirror: the mirror's name.
        keep: the operator's keep files.
        adopt: take over what is there.
        had_files: the state database remembers files below `root`.

    Raises:
        NotOurs: unmanaged files were found, or the files of another mirror.
        DiskError: a marked directory is suddenly empty (not mounted?).
    """
    mark = root / AGENT_DIR / "mark"
    with as_disk_error("read", root):
        is_marked = mark.is_file()
    if is_marked:
        marked_for = _read_mirror(mark)
        if marked_for in (None, mirror):
            return
        # A state database that remembers files stays with them: the mirror may have got another name.
        if not (adopt or had_files):
            raise NotOurs(
                f"root_dir {root} is that of mirror {marked_for!r}, whose files mirror {mirror!r} would remove",
                hint="set root_dir to a directory of this mirror's own; if that one is gone for good, or it has a new "
                "name, run `packrat-agent sync --adopt`",
            )
    elif not adopt:
        found = find_unmanaged(root, keep)
        if had_files and not found:
            raise DiskError(
                f"root_dir {root} is empty, but its files are remembered",
                hint="mount its filesystem. If it was emptied on purpose, run `packrat-agent sync --adopt`",
            )
        if found:
            raise _not_ours(root, found)
    spare = root / AGENT_DIR / "mark.new"
    write_new(spare, [json.dumps({"mirror": mirror, "by": "packrat-agent"}).encode() + b"\n"])
    replace(spare, mark)
    flush_directories([mark.parent])


def _read_mirror(mark: Path) -> str | None:
    """Read which mirror a mark names; None where it names none."""
    try:
        return str(json.loads(read_regular(mark, _READ_LIMIT))["mirror"])[:100]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
