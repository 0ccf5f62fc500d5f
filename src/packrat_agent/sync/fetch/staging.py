"""The staging directories: each sync has one of its own, for what it downloads and makes before that is published.

    staging/full-<repository>/      of the repository's full sync
    staging/change-<repository>/    of a sync that follows a change

Files are called by their SHA-256, downloads that are not complete yet `<SHA-256>.part`. What a process left there when
it died is hashed, and used by whichever sync wants it next.
"""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.free_space import is_full
from packrat_core.fs.links import ensure_directory, open_directory

_FILE = re.compile(r"[0-9a-f]{64}(\.part)?")


@contextmanager
def own_staging(staging: Path, repo: str, *, full: bool) -> Iterator[Path]:
    """Give the staging directory of one sync; it stays at the end if something is in it.

    Args:
        staging: The staging directory of the mirror.
        repo: The name of the repository.
        full: Whether it is a full sync.

    Raises:
        DiskError: It can't be made.
    """
    own = ensure_directory(staging, f"{'full' if full else 'change'}-{repo}")
    try:
        yield own
    finally:
        with suppress(OSError):
            own.rmdir()


def link_or_copy(source: Path, target: Path) -> None:
    """Make a staged file of a copy, by a hard link where the filesystem has these.

    Raises:
        FileExistsError: One is there already, and was left as it is: it may be a link to `source` itself.
        OSError: It can't be made.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # Nobody else may see it half copied.
        spare = target.with_name(f"{target.name}-{secrets.token_hex(8)}")
        try:
            shutil.copyfile(source, spare, follow_symlinks=False)
            spare.replace(target)
        finally:
            spare.unlink(missing_ok=True)


def find_left_over(staging: Path) -> dict[str, Path]:
    """Map the names of downloads that an earlier process left to their paths.

    Raises:
        DiskError: The staging directory can't be read.
    """
    found: dict[str, Path] = {}
    with as_disk_error("read", staging):
        for directory in (staging, *_directories(staging)):
            for entry in os.scandir(directory):
                if _FILE.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    found[entry.name] = Path(entry.path)
    return found


def clear_staging(staging: Path, keep: Collection[str], is_working: Callable[[str], bool]) -> None:
    """Remove everything from staging except the files and parts of the SHA-256s in `keep`.

    Args:
        staging: The staging directory of the mirror.
        keep: SHA-256s of files that are still wanted.
        is_working: Tells of a repository's name whether a sync of it uses its directories now.

    Raises:
        DiskError: The staging directory can't be read.
    """
    root, top = staging.parents[1], f"{staging.parent.name}/{staging.name}"
    with as_disk_error("clean", staging):
        for directory in ("", *(f"/{path.name}" for path in _directories(staging))):
            if is_working(directory.partition("-")[2]):
                continue
            _remove_files(root, top + directory, lambda name: name.removesuffix(".part") not in keep)
            if directory:
                with suppress(OSError), open_directory(root, top) as descriptor:
                    os.rmdir(directory[1:], dir_fd=descriptor)


def give_back_parts(staging: Path, is_working: Callable[[str], bool] = lambda repo: False) -> None:
    """Remove what is not complete from a full filesystem, where the state database may need its room.

    Args:
        staging: The staging directory of the mirror.
        is_working: As that of `clear_staging`.

    Raises:
        DiskError: The staging directory can't be read.
    """
    if not is_full(staging):
        return
    root, top = staging.parents[1], f"{staging.parent.name}/{staging.name}"
    with as_disk_error("clean", staging):
        for name in [path.name for path in _directories(staging) if not is_working(path.name.partition("-")[2])]:
            # Indexes that were being written when a process died have other names, and nothing ever uses them.
            _remove_files(root, f"{top}/{name}", lambda name: name.endswith(".part") or not _FILE.fullmatch(name))


def _remove_files(root: Path, directory: str, is_useless: Callable[[str], bool]) -> None:
    """Remove the files of a staging directory whose names say that nothing needs them."""
    with suppress(FileNotFoundError, NotADirectoryError), open_directory(root, directory) as descriptor:
        for entry in os.scandir(descriptor):
            if is_useless(entry.name):
                with suppress(IsADirectoryError, PermissionError):
                    os.unlink(entry.name, dir_fd=descriptor)


def _directories(staging: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(staging) if entry.is_dir(follow_symlinks=False)]
