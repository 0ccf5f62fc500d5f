"""Decides what one pass of one repository has to do.

Takes: the package files that the repository wants with their places, and what is on disk.
Gives: a Plan.
Touches: nothing.
"""

from collections.abc import Mapping, Sequence

from packrat_agent.model import PackageFile, Placement, Plan, Refusal, Repo, StoredFile


def decide(
    repo: Repo,
    wanted: Sequence[tuple[PackageFile, str]],
    on_disk: Mapping[str, StoredFile],
    elsewhere: Mapping[str, str],
    published_names: Mapping[str, str],
) -> Plan:
    """Compare what is wanted with what is there.

    wanted: each file with its path; on_disk: path → file, for this repository; elsewhere: SHA-256 → the path of a
    verified file anywhere in the tree; published_names: path → the SHA-256 that it has always had. All paths are
    relative to `root_dir`.
    """
    keep: list[Placement] = []
    fetch: list[Placement] = []
    link: list[Placement] = []
    refused: list[Refusal] = []
    claims: dict[str, PackageFile] = {}
    for file, path in wanted:
        other = claims.setdefault(path, file)
        if other.sha256 != file.sha256:
            refused.append(Refusal(file, f"{path} is already the place of {other.uri}, which has other bytes"))
            continue
        published = published_names.get(path)
        if published not in (None, file.sha256):
            refused.append(
                Refusal(file, f"{path} was published before with other bytes; upload the file under a new version")
            )
            continue
        have = on_disk.get(path)
        if have is not None and have.sha256 == file.sha256:
            keep.append(Placement(file, path))
        elif file.sha256 in elsewhere:
            link.append(Placement(file, path, elsewhere[file.sha256]))
        else:
            fetch.append(Placement(file, path))
    placed = {placement.path for placement in (*keep, *link, *fetch)}
    retire = tuple(sorted(path for path in on_disk if path not in placed))
    return Plan(repo, tuple(keep), tuple(fetch), tuple(link), retire, tuple(refused))
