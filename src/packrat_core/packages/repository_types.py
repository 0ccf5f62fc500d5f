"""The repository types, by the name that they have in the API: what agent and server must know of them alike."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RepositoryType:
    """One type.

    title: as the API shows it. file_type: the server's type of its package files; None for any that have no repository
    type of their own. distro_version: the one that a new server has for it; None where it has several. other_names:
    what the API also calls it.
    """

    title: str
    file_type: str | None
    distro_version: str | None = None
    other_names: tuple[str, ...] = ()


REPOSITORY_TYPES: Mapping[str, RepositoryType] = {
    "apt": RepositoryType("APT", "deb"),
    # The susetags form of a repository is for installation media only; clients read `yum`.
    "yum": RepositoryType("YUM", "rpm", other_names=("yast",)),
    "json": RepositoryType("JSON", None, "json"),
    "docker": RepositoryType("Docker", "docker", "docker"),
    "pypi": RepositoryType("PyPi", "python", "pypi"),
}
KIND_OF_OTHER_NAME = {name: kind for kind, known in REPOSITORY_TYPES.items() for name in known.other_names}
TYPE_NAMES = tuple(name for kind, known in REPOSITORY_TYPES.items() for name in (kind, *known.other_names))
"""All names of all types."""
FILE_TYPES = ("deb", "rpm", "python", "docker", "json", "ova", "tar", "img", "appimage", "resource", "respkg")
"""The types that package files have in the API."""
