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
    refused: list[Refusal] = []
    placed: set[str] = set()
    if exclusive:
        wanted, refused = _leave_out_conflicts(wanted, parts, published_names)
        placed.update(placement.path for placement in wanted)
    keep: list[Placement] = []
    fetch: list[Placement] = []
    link: list[Placement] = []
    known: dict[str, Parts] = {}
    missing: dict[str, Parts] = {}
    for placement in wanted:
        uri = placement.file.uri
        published = parts.get(uri, {})
        placed.update(published)
        lacking = missing_parts(published, on_disk)
        # Where one part is nowhere, all are made from the package file.
        if uri not in parts or not all(sha256 in copies for sha256 in lacking.values()):
            fetch.append(placement)
            continue
        known[uri] = published
        if lacking:
            link.append(placement)
            missing[uri] = lacking
        else:
            keep.append(placement)
    withdraw = tuple(sorted(path for path in on_disk if path not in placed))
    return Plan(repo, tuple(keep), tuple(fetch), tuple(link), withdraw, tuple(refused), known, missing, copies)


def missing_parts(parts: Parts, on_disk: Mapping[str, str]) -> Parts:
    """Give the parts that are not in place: their path holds nothing, or other bytes."""
    return {path: sha256 for path, sha256 in parts.items() if on_disk.get(path) != sha256}


def _leave_out_conflicts(
    wanted: Sequence[Placement], parts: Mapping[str, Parts], published_names: Mapping[str, str]
) -> tuple[list[Placement], list[Refusal]]:
    claims: dict[str, PackageFile] = {}
    left: list[Placement] = []
    refused: list[Refusal] = []
    for placement in wanted:
        reason = _conflict(placement, parts.get(placement.file.uri, {}), claims, published_names)
        if reason is None:
            left.append(placement)
        else:
            refused.append(Refusal(placement.file, reason))
    return left, refused


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
