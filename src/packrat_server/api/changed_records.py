"""Gives the records of the files of changed packages, so that a mirror has no further question for a small change.

A mirror gets the same from the filters `repo` (or `kept`) of PackageFile and from GET. What is given here was read in
the transaction that found the change. Where there is much to tell, nothing is told of that repository: the mirror asks.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from packrat_server.accounts.sessions import Caller
from packrat_server.api.description import uri
from packrat_server.api.records import READERS, Record
from packrat_server.promotion.wanted_files import split_files

PACKAGES_LIMIT = 20
FILES_LIMIT = 100
TEXT_LIMIT = 128 * 1024
"""Characters of justification and provenance, which may be long, in all records of an answer."""

_Files = dict[str, Record]
_Packages = Mapping[str, Mapping[str, _Files]]


@dataclass(frozen=True, slots=True)
class RepoRecords:
    """What the changed packages of one repository have now.

    Attributes:
        packages: Name of a package → `wanted` and `deprocated`: URI of a file → its record.
        files: Number of the files.
        text: Number of characters of their texts.
    """

    packages: _Packages
    files: int
    text: int


def read_changed_records(
    connection: Connection, caller: Caller, repos: Mapping[str, Collection[str] | None]
) -> dict[str, _Packages]:
    """Read what the changed packages have now.

    Args:
        connection: An open transaction.
        caller: Who asks.
        repos: Repository → names of its packages that changed; None: any package may have changed.

    Returns:
        URI of a repository → name of a package → `wanted` and `deprocated`: URI of a file → its record.
    """
    return within_limits(
        {name: read_repo_records(connection, caller, name, packages) for name, packages in repos.items() if packages}
    )


def within_limits(repos: Mapping[str, RepoRecords | None]) -> dict[str, _Packages]:
    """Choose the repositories whose records fit into one answer, in their order; gives them by URI."""
    packages = files = text = 0
    chosen: dict[str, _Packages] = {}
    for repo, records in repos.items():
        if records is None:
            continue
        sums = (packages + len(records.packages), files + records.files, text + records.text)
        if sums[0] <= PACKAGES_LIMIT and sums[1] <= FILES_LIMIT and sums[2] <= TEXT_LIMIT:
            packages, files, text = sums
            chosen[uri("Repo/Repo", repo)] = records.packages
    return chosen


def read_repo_records(
    connection: Connection, caller: Caller, repo: str, packages: Collection[str]
) -> RepoRecords | None:
    """Read what the changed packages of one repository have now; None where that is too much, or it is gone.

    Args:
        connection: An open transaction.
        caller: Who asks.
        repo: The name of the repository.
        packages: The names of its packages that changed.
    """
    names = sorted(packages)
    files = split_files(connection, repo, names, FILES_LIMIT) if len(names) <= PACKAGES_LIMIT else None
    if files is None:
        return None
    ids = [str(number) for number in (*files.wanted, *files.deprocated)]
    records = READERS["Package/PackageFile"](connection, caller, ids)
    text = sum(len(record["justification"]) + len(record["provenance"]) for record in records.values())
    if text > TEXT_LIMIT:
        return None
    # A package that has no file any more is told, too.
    told: dict[str, dict[str, _Files]] = {name: {"wanted": {}, "deprocated": {}} for name in names}
    by_uri = {uri("Package/Package", name): files for name, files in told.items()}
    for kind, numbers in (("wanted", files.wanted), ("deprocated", files.deprocated)):
        for number in numbers:
            record = records[str(number)]
            by_uri[record["package"]][kind][uri("Package/PackageFile", number)] = record
    return RepoRecords(told, len(ids), text)
