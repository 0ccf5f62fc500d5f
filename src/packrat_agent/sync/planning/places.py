"""Decides where package files go below root_dir, whatever their type."""

from collections.abc import Collection, Iterable
from pathlib import Path

from packrat_agent.formats.interface import Format
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.paths import is_kept, is_kept_or_around, path_in_root
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.publish.walk import find_other_root
from packrat_core.errors import Refused


def why_unbuilt(repo: Repo, root: Path, kept: Collection[str]) -> str | None:
    """Say why a repository is not built at all; None if it is.

    Args:
        repo: The repository.
        root: root_dir.
        kept: What the operator keeps below root_dir.
    """
    if repo.kind not in FORMATS:
        return f"this packrat-agent builds no repositories of type {repo.kind}"
    if is_kept(repo.directory, kept):
        return f"its directory {repo.directory} is kept by keep_file; give it another one on the server"
    if (other := find_other_root(root, repo.directory)) is not None:
        return (
            f"its directory {repo.directory} is, or lies in, {other}, the root_dir of another mirror; give it another "
            "one on the server, or move that elsewhere"
        )
    return None


def place_of(repo: Repo, form: Format, file: PackageFile, kept: Collection[str]) -> str:
    """Give the place of a package file, relative to root_dir.

    Args:
        repo: Its repository.
        form: The type of the repository.
        file: The package file.
        kept: What the operator keeps below root_dir.

    Raises:
        Refused: It can't be in the repository, or the operator keeps what stands in its place.
    """
    path = path_in_root(repo, form.place(repo, file))
    if is_kept_or_around(path, kept):
        raise Refused(
            f"{path} is kept by keep_file in mirror.conf, so it is not written",
            hint="move what you keep to another place, and take this one out of keep_file",
        )
    return path


def places_of(repo: Repo, form: Format, files: Iterable[PackageFile], kept: Collection[str]) -> dict[str, str]:
    """Map URI → place of those files that may be in a repository.

    Args:
        repo: The repository.
        form: Its type.
        files: The package files.
        kept: What the operator keeps below root_dir.
    """
    places: dict[str, str] = {}
    for file in files:
        try:
            places[file.uri] = place_of(repo, form, file, kept)
        except Refused:
            # The sync says why.
            continue
    return places
