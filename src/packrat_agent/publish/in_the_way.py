"""Renames a file into its place in the live tree, where a directory may stand in its way.

The directory is removed with all that is untracked in it, but not with what the agent leaves alone elsewhere, too: the
root_dir of another mirror, the data of a packrat-server, and what is mounted there.
"""

import os
import stat
from pathlib import Path

from packrat_agent.publish.walk import find_left_alone
from packrat_core.errors import DiskError
from packrat_core.fs.atomic import replace_in
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.links import open_directory


def put_in_place(source: Path, target: Path, root: Path) -> None:
    """Rename `source` to `target`, which is below root_dir.

    Args:
        source: The file that is ready.
        target: Its place.
        root: root_dir.

    Raises:
        DiskError: It can't be renamed, or something stands there that is left alone.
    """
    # As text, since a full build writes many thousands of files, and pathlib takes longer than the kernel.
    top, place = os.path.join(root, ""), str(target)
    if not place.startswith(top):
        raise ValueError(f"{target} is not below {root}")
    parent, _, name = place[len(top) :].rpartition("/")
    # What stands in the way is looked at, and removed, in the directory that is open: a link that takes the place of
    # that directory in between leads to what is somebody else's.
    with as_disk_error("publish", target), open_directory(root, parent) as directory:
        left = find_left_alone(target, directory) if _is_directory(name, directory) else ()
        if not left:
            replace_in(source, name, directory)
            return
    raise DiskError(
        f"can't publish {target}: in the directory that stands there, {left[0]} is left alone",
        hint="move it elsewhere: it is the root_dir of another mirror, the data of a packrat-server, or mounted",
        path=str(target),
    )


def _is_directory(name: str, above: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
