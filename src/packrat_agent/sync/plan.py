"""Decides what one sync of one repository has to do, from what is wanted and what is on disk.

- A file whose parts are all in place is kept; one whose parts all stand somewhere in the live tree is linked; for any
  other the package file is fetched.
- A path belongs to the first file that claims it, and to the package file that was first published under it.
- What is on disk and belongs to no wanted file is withdrawn.

    plan = decide(repo, placements, on_disk, copies, published_names)
    plan.keep, plan.link, plan.fetch, plan.withdraw, plan.refused
"""

from collections.abc import Mapping, Sequence

from packrat_agent.model.entries import KnownPlacement, Part, Placement, Plan, Refusal, StoredFile
from packrat_agent.model.records import PackageFile, Repo


def decide(
    repo: Repo,
    wanted: Sequence[Placement],
    on_disk: Mapping[str, StoredFile],
    copies: Mapping[str, str],
    published_names: Mapping[str, str],
    *,
    exclusive: bool = True,
) -> Plan:
    """Compare what is wanted with what is there.

    Args:
        repo: the repository.
        wanted: its package files with their places, oldest record first.
        on_disk: path → file, for this repository.
        copies: SHA-256 → the path of a verified file anywhere in the live tree.
        published_names: path → the SHA-256 of the package file that it has always stood for.
        exclusive: a place belongs to one package file; else files share places, and only their parts have paths.
    """
    keep: list[KnownPlacement] = []
    fetch: list[Placement] = []
    link: list[KnownPlacement] = []
    refused: list[Refusal] = []
    claims: dict[str, PackageFile] = {}
    placed: set[str] = set()
    in_place: set[Part] = set()
    for placement in wanted:
        if exclusive:
            reason = _conflict(placement, claims, published_names)
            if reason is not None:
                refused.append(Refusal(placement.file, reason))
                continue
            placed.add(placement.path)
        if not isinstance(placement, KnownPlacement):
            fetch.append(placement)
            continue
        placed.update(part.path for part in placement.parts)
        missing = missing_parts(placement, on_disk)
        in_place.update(part for part in placement.parts if part not in missing)
        if not missing:
            keep.append(placement)
        elif all(part.sha256 in copies for part in missing):
            link.append(placement)
        else:
            # Where one part is nowhere, all are made from the package file.
            fetch.append(Placement(placement.file, placement.path))
    withdraw = tuple(sorted(path for path in on_disk if path not in placed))
    return Plan(repo, tuple(keep), tuple(fetch), tuple(link), withdraw, tuple(refused), frozenset(in_place), copies)


def missing_parts(placement: KnownPlacement, on_disk: Mapping[str, StoredFile]) -> list[Part]:
    """List the parts that are not in place: their path holds nothing, or other bytes."""
    return [part for part in placement.parts if (file := on_disk.get(part.path)) is None or file.sha256 != part.sha256]


def _conflict(placement: Placement, claims: dict[str, PackageFile], published_names: Mapping[str, str]) -> str | None:
    sha256 = placement.file.sha256
    other = claims.setdefault(placement.path, placement.file)
    if other.sha256 != sha256:
        return f"{placement.path} is already the place of {other.uri}, which has other bytes"
    parts = placement.parts if isinstance(placement, KnownPlacement) else ()
    return published_before(placement, published_names, parts)


def published_before(
    placement: Placement, published_names: Mapping[str, str], parts: Sequence[Part] = ()
) -> str | None:
    """Tell why a package file can't be published, where other bytes were published under one of its names.

    Args:
        placement: the file and its place.
        published_names: path → the SHA-256 of the package file that it has always stood for.
        parts: what is published of the file, as far as it is known.
    """
    sha256 = placement.file.sha256
    for path in (placement.path, *(part.path for part in parts if part.sha256 == sha256)):
        if published_names.get(path, sha256) != sha256:
            return f"{path} was published before with other bytes; upload the file under a new version"
    return None
