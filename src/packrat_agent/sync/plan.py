"""Decides what one sync of one repository has to do, from what is wanted and what is on disk.

- A file whose parts are all in place is kept; one whose parts all stand somewhere in the live tree is linked; for any
  other the package file is fetched.
- A path belongs to the first file that claims it, and to the package file that was first published under it.
- What is on disk and belongs to no wanted file is withdrawn.

    plan = decide(repo, placements, parts, on_disk, copies, published_names)
    plan.keep, plan.link, plan.fetch, plan.withdraw, plan.refused
"""

from collections.abc import Mapping, Sequence

from packrat_agent.model.entries import Parts, Placement, Plan, Refusal
from packrat_agent.model.records import PackageFile, Repo


def decide(
    repo: Repo,
    wanted: Sequence[Placement],
    parts: Mapping[str, Parts],
    on_disk: Mapping[str, str],
    copies: Mapping[str, str],
    published_names: Mapping[str, str],
    *,
    exclusive: bool = True,
) -> Plan:
    """Compare what is wanted with what is there.

    Args:
        repo: the repository.
        wanted: its package files with their places, oldest record first.
        parts: URI → what is published of the file; of one that has to be read first, nothing is known.
        on_disk: path → SHA-256, for this repository.
        copies: SHA-256 → the path of a verified file anywhere in the live tree.
        published_names: path → the SHA-256 of the package file that it has always stood for.
        exclusive: a place belongs to one package file; else files share places, and only their parts have paths.
    """
    keep: list[Placement] = []
    fetch: list[Placement] = []
    link: list[Placement] = []
    refused: list[Refusal] = []
    claims: dict[str, PackageFile] = {}
    placed: set[str] = set()
    known: dict[str, Parts] = {}
    missing: dict[str, Parts] = {}
    for placement in wanted:
        uri = placement.file.uri
        published = parts.get(uri)
        if exclusive:
            reason = _conflict(placement, published or {}, claims, published_names)
            if reason is not None:
                refused.append(Refusal(placement.file, reason))
                continue
            placed.add(placement.path)
        if published is None:
            fetch.append(placement)
            continue
        placed.update(published)
        lacking = missing_parts(published, on_disk)
        if not lacking:
            keep.append(placement)
        elif all(sha256 in copies for sha256 in lacking.values()):
            link.append(placement)
            missing[uri] = lacking
        else:
            # Where one part is nowhere, all are made from the package file.
            fetch.append(placement)
            continue
        known[uri] = published
    withdraw = tuple(sorted(path for path in on_disk if path not in placed))
    return Plan(repo, tuple(keep), tuple(fetch), tuple(link), withdraw, tuple(refused), known, missing, copies)


def missing_parts(parts: Parts, on_disk: Mapping[str, str]) -> Parts:
    """Give the parts that are not in place: their path holds nothing, or other bytes."""
    return {path: sha256 for path, sha256 in parts.items() if on_disk.get(path) != sha256}


def _conflict(
    placement: Placement, parts: Parts, claims: dict[str, PackageFile], published_names: Mapping[str, str]
) -> str | None:
    other = claims.setdefault(placement.path, placement.file)
    if other.sha256 != placement.file.sha256:
        return f"{placement.path} is already the place of {other.uri}, which has other bytes"
    return published_before(placement, parts, published_names)


def published_before(placement: Placement, parts: Parts, published_names: Mapping[str, str]) -> str | None:
    """Tell why a package file can't be published, where other bytes were published under one of its names.

    Args:
        placement: the file and its place.
        parts: what is published of the file, as far as it is known.
        published_names: path → the SHA-256 of the package file that it has always stood for.
    """
    sha256 = placement.file.sha256
    for path in (placement.path, *(path for path, digest in parts.items() if digest == sha256)):
        if published_names.get(path, sha256) != sha256:
            return f"{path} was published before with other bytes; upload the file under a new version"
    return None
