"""Decides what one pass of one repository has to do.

Takes: the package files that the repository wants with their places, and what is on disk.
Gives: a Plan.
Touches: nothing.
"""

from collections.abc import Mapping, Sequence

from packrat_agent.model.entries import Candidate, Part, Placement, Plan, Refusal, StoredFile
from packrat_agent.model.records import PackageFile, Repo


def decide(
    repo: Repo,
    wanted: Sequence[Candidate],
    on_disk: Mapping[str, StoredFile],
    elsewhere: Mapping[str, str],
    published_names: Mapping[str, str],
) -> Plan:
    """Compare what is wanted with what is there.

    on_disk: path → file, for this repository; elsewhere: SHA-256 → the path of a verified file anywhere in the tree;
    published_names: path → the SHA-256 of the package file that it has always stood for.
    """
    keep: list[Placement] = []
    fetch: list[Placement] = []
    link: list[Placement] = []
    refused: list[Refusal] = []
    claims: dict[str, PackageFile] = {}
    placed: set[str] = set()
    for one in wanted:
        reason = _conflict(one, claims, published_names) if one.exclusive else None
        if reason is not None:
            refused.append(Refusal(one.file, reason))
            continue
        if one.exclusive:
            placed.add(one.path)
        placed.update(part.path for part in one.parts or ())
        placement = _place(one, on_disk, elsewhere)
        if placement.parts and all(part.source == part.path for part in placement.parts):
            keep.append(placement)
        elif placement.parts or placement.source is not None:
            link.append(placement)
        else:
            fetch.append(placement)
    withdraw = tuple(sorted(path for path in on_disk if path not in placed))
    return Plan(repo, tuple(keep), tuple(fetch), tuple(link), withdraw, tuple(refused))


def _conflict(one: Candidate, claims: dict[str, PackageFile], published_names: Mapping[str, str]) -> str | None:
    other = claims.setdefault(one.path, one.file)
    if other.sha256 != one.file.sha256:
        return f"{one.path} is already the place of {other.uri}, which has other bytes"
    if published_names.get(one.path, one.file.sha256) != one.file.sha256:
        return f"{one.path} was published before with other bytes; upload the file under a new version"
    return None


def _place(one: Candidate, on_disk: Mapping[str, StoredFile], elsewhere: Mapping[str, str]) -> Placement:
    """Find each part where it stands; where one is nowhere, all are to be made from the package file."""
    parts = []
    for part in one.parts or ():
        have = on_disk.get(part.path)
        in_place = have is not None and have.sha256 == part.sha256
        parts.append(Part(part.path, part.sha256, part.path if in_place else elsewhere.get(part.sha256)))
    if any(part.source is None for part in parts):
        parts = []
    return Placement(one.file, one.path, elsewhere.get(one.file.sha256), tuple(parts))
