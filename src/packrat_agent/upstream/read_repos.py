"""Reads the records of a mirror's repositories, and of the distribution versions that they name."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from packrat_agent.model.records import DistroVersion, Rejection, Repo
from packrat_agent.upstream.records import (
    DISTRO_VERSION,
    REPO,
    REPOS_LIMIT,
    Unusable,
    find_overlaps,
    present,
    read_distro_version,
    read_id,
    read_repo,
)
from packrat_core.errors import ServerBroken

Records = Mapping[str, Mapping[str, Any]]
"""URI → record, as the server sent it."""
GetRecords = Callable[[str, Sequence[str]], Awaitable[Records]]
"""(model, ids) → their records."""


async def read_repos(get_records: GetRecords, names: Sequence[str]) -> tuple[list[Repo], list[Rejection]]:
    """Read the records of repositories; one that can't be used is rejected, so that it does not stop the others.

    Raises:
        ServerBroken: They name too many distribution versions.
        PackratError: The server does not answer, or refuses the request.
    """
    records = await get_records(REPO, names)
    distro_versions = await _read_distro_versions(get_records, _named_distro_versions(records))
    repos: list[Repo] = []
    rejected: list[Rejection] = []
    for name in names:
        uri = f"{REPO}:{name}:"
        try:
            repos.append(read_repo(name, present(records, uri), distro_versions))
        except Unusable as error:
            rejected.append(Rejection(uri, str(error)))
    overlaps = find_overlaps(repos)
    rejected += [Rejection(f"{REPO}:{name}:", reason) for name, reason in overlaps.items()]
    return [repo for repo in repos if repo.name not in overlaps], rejected


def _named_distro_versions(repos: Records) -> list[str]:
    names: dict[str, None] = {}
    for repo in repos.values():
        listed = repo.get("distroversion_list")
        for uri in listed if isinstance(listed, list) else ():
            try:
                names[read_id(uri, DISTRO_VERSION)] = None
            except Unusable:
                # `read_repo` rejects the repository.
                continue
    if len(names) > REPOS_LIMIT:
        raise ServerBroken(f"the repositories name more than {REPOS_LIMIT} distribution versions")
    return list(names)


async def _read_distro_versions(get_records: GetRecords, names: Sequence[str]) -> dict[str, DistroVersion]:
    records = await get_records(DISTRO_VERSION, names)
    found: dict[str, DistroVersion] = {}
    for name in names:
        try:
            found[name] = read_distro_version(name, present(records, f"{DISTRO_VERSION}:{name}:"))
        except Unusable:
            # `read_repo` rejects the repositories that need it.
            continue
    return found
