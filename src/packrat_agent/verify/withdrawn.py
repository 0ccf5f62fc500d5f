"""Tells a suite, distribution version or former type of a repository that was withdrawn from one that is broken.

When one leaves its repository, its pointers go at once, so no client comes to it any more. What the pointers named
stays for the grace period, for clients that read them just before. So a directory without any pointer is sound, unless
something leads to it, as the landing page does.
"""

import os
from pathlib import Path

from packrat_agent.verify.match_paths import match_paths

_BY_HASH = "by-hash"
_TYPE_POINTERS = {
    "docker": ("v2/_catalog", "v2/index.html", "v2/*/tags/list"),
    "pypi": ("simple/index.*", "simple/*/index.*"),
}
"""Patterns of the pointers of those types whose auditors expect some in each repository."""
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


def is_withdrawn_type(top: Path, kind: str, directory: str) -> bool:
    """Return whether a repository has no pointer of a type that it may have been of; False if that type needs none.

    Args:
        top: Top of the tree.
        kind: The type.
        directory: Directory of the repository, relative to the top.
    """
    patterns = _TYPE_POINTERS.get(kind, ())
    return bool(patterns) and not any(any(True for _ in match_paths(top / directory, pattern)) for pattern in patterns)
