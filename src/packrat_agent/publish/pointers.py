"""Replaces the pointers of a publication by those that are ready beside the tree, even if a crash left them there.

1. All new pointers are written below `.packrat-agent/publishing/new-<repository>` and flushed.
2. One rename makes that directory `repo-<repository>`. Before it, clients have the former publication; after it, the
   new one can be ended with what is on disk, without a key or a server.
3. Each pointer is renamed into its place, in the order of publishing; then those that nothing names are removed.
4. Once the state database knows it, the empty directory goes.
"""

import hashlib
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Intent, LiveFile
from packrat_agent.publish.directories import OpenDirectories
from packrat_agent.publish.in_the_way import put_in_place
from packrat_core.failpoints import done
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.file_times import mtime_ns
from packrat_core.fs.flush import flush_directories
from packrat_core.fs.inodes import inode
from packrat_core.fs.links import ensure_directory, link_digest, open_directory, remove_tree
from packrat_core.fs.open import open_regular
from packrat_core.fs.verified import hash_descriptor

PUBLISHING_DIR = f"{AGENT_DIR}/publishing"

_showing = threading.Lock()
"""Held while the pointers of a publication are renamed, in this process."""


def staged_name(path: str) -> str:
    """Name the file below `publishing` that is to replace the pointer at `path`, relative to root_dir."""
    return hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()


@contextmanager
def staging_pointers(root: Path, repo: Repo) -> Iterator[Path]:
    """Give an empty directory for the new pointers of a repository, and declare them ready at the end.

    Raises:
        DiskError: they can't be written; nothing is left of them.
    """
    new, ready = _directory(root, repo, "new"), _directory(root, repo, "repo")
    ensure_directory(root, PUBLISHING_DIR)
    for left_over in (new, ready):
        _remove(left_over)
    with as_disk_error("make the directory", new):
        new.mkdir(mode=0o700)
    try:
        yield new
        flush_directories([new])
        with as_disk_error("rename", new):
            new.rename(ready)
        flush_directories([root / PUBLISHING_DIR])
    except BaseException:
        # The room that they take may be what the disk lacks.
        with suppress(OSError):
            remove_tree(new)
        raise


def are_pointers_ready(root: Path, repo: Repo) -> bool:
    """Tell whether all new pointers of a repository stand beside the tree, or in it already."""
    directory = _directory(root, repo, "repo")
    return directory.is_dir() and not directory.is_symlink()


def show_pointers(intent: Intent, root: Path) -> tuple[StoredFile, ...]:
    """Rename what is ready into its place, and remove the pointers that the new tree doesn't name.

    Args:
        intent: what is published.
        root: root_dir.

    Returns:
        What stands now where it should be written, in the order of `intent.files`.

    Raises:
        DiskError: the disk failed; the same call goes on with it later.
    """
    with _showing:
        directories = _show(intent.pointers, _directory(root, intent.repo, "repo"), root)
        directories.update(_remove_pointers(root, intent.leaving))
    flush_directories(directories)
    done("pointers-flushed")
    return _look(root, intent.files)


def _show(pointers: Sequence[LiveFile], ready: Path, root: Path) -> set[Path]:
    """Rename those pointers that stand ready into their places; gives the directories that these are in."""
    with as_disk_error("read", ready):
        try:
            source = os.open(ready, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return set()
    parents: set[str] = set()
    try:
        waiting = frozenset(os.listdir(source))
        with OpenDirectories(root) as way:
            for file in pointers:
                staged = staged_name(file.path)
                if staged not in waiting:
                    continue
                parent, _, name = file.path.rpartition("/")
                directory = way.enter(parent)
                parents.add(parent)
                with as_disk_error("publish", f"{root}/{file.path}"):
                    try:
                        os.rename(staged, name, src_dir_fd=source, dst_dir_fd=directory)
                    except IsADirectoryError:
                        put_in_place(ready / staged, root / file.path, root)
                    # Where both are names of one inode, rename(2) does nothing and leaves the source.
                    if os.access(staged, os.F_OK, dir_fd=source, follow_symlinks=False):
                        os.unlink(staged, dir_fd=source)
                done("pointer-renamed")
    finally:
        os.close(source)
    return {root / parent for parent in parents}


def stop_showing(within_s: float) -> None:
    """Before the process ends: wait until no pointers are being replaced, and let none be from then on.

    Args:
        within_s: After this time it is given up; the next start completes what is left half done.
    """
    _showing.acquire(timeout=within_s)


def find_lacking(intent: Intent, root: Path) -> str | None:
    """Name a file that `show_pointers` would need and that is missing or has other bytes; None if all is there.

    Pointers are hashed. What they name was flushed before the first pointer was ready, so only its size is compared.
    """
    ready = _directory(root, intent.repo, "repo")
    for file in intent.files:
        staged = ready / staged_name(file.path)
        place = staged if file.pointer_rank and os.path.lexists(staged) else root / file.path
        if not (_has_digest(place, file) if file.pointer_rank else _has_size(place, file)):
            return file.path
    return None


def discard_pointers(root: Path, repo: Repo) -> None:
    """Remove what stands ready for a repository, once nobody needs it any more.

    Raises:
        DiskError: it can't be removed.
    """
    for kind in ("new", "repo"):
        _remove(_directory(root, repo, kind))


def discard_unknown_pointers(root: Path, repos: Sequence[Repo]) -> None:
    """Remove what stands ready for any other repository: of a publish that is over, or that nobody knows.

    Raises:
        DiskError: it can't be removed.
    """
    known = {_directory(root, repo, "repo") for repo in repos}
    top = root / PUBLISHING_DIR
    with as_disk_error("clean", top):
        if top.is_symlink() or not top.is_dir():
            return
        for entry in top.iterdir():
            if entry not in known:
                _remove(entry)


def _directory(root: Path, repo: Repo, kind: str) -> Path:
    # The site has no name, and no repository has an empty one.
    return root / PUBLISHING_DIR / f"{kind}-{repo.name}"


def _remove(path: Path) -> None:
    with as_disk_error("remove", path):
        try:
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            return


def _remove_pointers(root: Path, paths: Sequence[str]) -> Iterator[Path]:
    """Remove pointers; gives the directories that they stood in.

    Anything else there by now is not a pointer: the scan removes it.
    """
    for path in paths:
        parent, _, name = path.rpartition("/")
        with (
            as_disk_error("remove", root / path),
            suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError),
            open_directory(root, parent) as directory,
        ):
            os.unlink(name, dir_fd=directory)
            yield root / parent


def _has_digest(path: Path, file: LiveFile) -> bool:
    with suppress(OSError):
        if path.is_symlink():
            return link_digest(str(path.readlink())) == file.sha256
        with open_regular(path) as opened:
            # Anybody may have put a file there that takes days to hash.
            size = os.fstat(opened.fileno()).st_size
            return size == file.size and hash_descriptor(opened.fileno(), size)[0] == file.sha256
    return False


def _has_size(path: Path, file: LiveFile) -> bool:
    with suppress(OSError):
        status = path.lstat()
        return stat.S_ISLNK(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_size == file.size)
    return False


def _look(root: Path, intended: Sequence[LiveFile]) -> tuple[StoredFile, ...]:
    seen: list[StoredFile] = []
    top = os.path.join(root, "")
    for file in intended:
        # As text, since there may be many thousands, and pathlib takes longer than the kernel.
        path = top + file.path
        with as_disk_error("read", path):
            status = os.lstat(path)
        seen.append(StoredFile(file.path, file.sha256, file.size, mtime_ns(status), inode(status)))
    return tuple(seen)
