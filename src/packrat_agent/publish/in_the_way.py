"""Renames a file into its place in the live tree, where a directory may stand in its way.

The directory is removed with all that is untracked in it, but not with what the agent leaves alone elsewhere, too: the
root_dir of another mirror, the data of a packrat-server, and what is mounted there.
"""

import os
import stat
from pathlib import Path

from packrat_agent.publish.walk import find_left_alone
from packrat_core.errors import DiskError
from packrat_core.fs.atomic import replace
from packrat_core.fs.disk_errors import as_disk_error


def put_in_place(source: Path, target: Path, root: Path) -> None:
    """Rename `source` to `target`, which is below root_dir.

    Raises:
        DiskError: It can't be renamed, or something stands there that is left alone.
    """
    with as_disk_error("publish", target):
        left = find_left_alone(target) if _is_directory(target) else ()
    if left:
        raise DiskError(
            f"can't publish {target}: in the directory that stands there, {left[0]} is left alone",
            hint="move it elsewhere: it is the root_dir of another mirror, the data of a packrat-server, or mounted",
            path=str(target),
        )
    replace(source, target, root)


def _is_directory(path: Path) -> bool:
    # As text, since a full build writes many thousands of files, and pathlib takes longer than the kernel.
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
