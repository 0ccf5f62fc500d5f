"""Recognizes the repositories of each type by what stands in their directories.

The auditors stand apart, and only those of the types that a tree has are imported.
"""

import os

from packrat_agent.verify.findings import Subject
from packrat_agent.verify.match_paths import match_paths
from packrat_agent.verify.names import MANIFEST, OF_ALL_IMAGES, SUMS

_SIGNS = ("repodata", "generations", "mirrorlist", "metalink")


def is_files(subject: Subject, directory: str) -> bool:
    """Return whether a directory holds a repository of arbitrary files."""
    here = subject.top / directory
    return (here / SUMS).is_file() or (here / MANIFEST).is_file()


def is_apt(subject: Subject, directory: str) -> bool:
    """Return whether a directory holds an apt repository."""
    return (subject.top / directory / "dists").is_dir()


def is_docker(subject: Subject, directory: str) -> bool:
    """Return whether a directory holds a docker repository; the top of a mirror has lists for all of them only."""
    try:
        names = {path.name for path in (subject.top / directory / "v2").iterdir()}
    except OSError:
        return (subject.top / directory / "v2").is_dir()
    return not names or not names.issubset(OF_ALL_IMAGES)


def is_pypi(subject: Subject, directory: str) -> bool:
    """Return whether a directory holds a Python index."""
    return (subject.top / directory / "simple").is_dir()


def is_yum(subject: Subject, directory: str) -> bool:
    """Return whether a directory holds a yum repository."""
    return bool(find_versions(subject, directory))


def find_versions(subject: Subject, directory: str) -> list[str]:
    """Return the directories of a yum repository's distribution versions, `<distro>/main/<version>`."""
    return [
        str(path.relative_to(subject.top))
        for path in sorted(match_paths(subject.top / directory, "*/main/*"))
        if any(os.path.lexists(path / sign) for sign in _SIGNS)
    ]
