"""Tells a suite or distribution version that was withdrawn from one that is broken.

When one leaves its repository, its pointers go at once, so no client comes to it any more. What the pointers named
stays for the grace period, for clients that read them just before. So a directory without any pointer is sound, unless
something leads to it, as the landing page does.
"""

import os
from pathlib import Path

_BY_HASH = "by-hash"
_YUM_POINTERS = ("repodata/repomd.xml", "repodata/repomd.xml.asc", "repodata/repomd.xml.key", "mirrorlist", "metalink")


def is_withdrawn_suite(top: Path, suite: str) -> bool:
    """Return whether only indexes by their hash are left of an apt suite.

    Args:
        top: Top of the tree.
        suite: Directory of the suite, relative to the top.

    Raises:
        OSError: The directory can't be looked into.
    """
    waiting = [top / suite]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                try:
                    is_directory = entry.is_dir()
                except OSError:
                    # A link that leads nowhere.
                    is_directory = False
                if not is_directory:
                    return False
                if entry.name != _BY_HASH and not entry.is_symlink():
                    waiting.append(Path(entry.path))
    return True


def is_withdrawn_version(top: Path, place: str) -> bool:
    """Return whether a distribution version of a yum repository has no pointer and no .repo file.

    Args:
        top: Top of the tree.
        place: Directory of the distribution version, relative to the top.
    """
    directory = top / place
    return not any(os.path.lexists(directory / name) for name in _YUM_POINTERS) and not any(directory.glob("*.repo"))
