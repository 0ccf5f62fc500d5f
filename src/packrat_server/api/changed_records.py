"""Gives the records of the files of changed packages, so that a mirror need not ask again after a small change.

A mirror gets the same from the filters `repo` (or `kept`) of PackageFile and from GET. What is given here was read in
the transaction that found the change. If a change is too large, the answer leaves the repository out: the mirror asks.

A mirror that wants only the files that the change touched gets the records of these alone, and all their URIs: one
without a record is gone. Where the journal does not name the files, or in the repository one file makes way for
another, such a mirror gets all files, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from packrat_server.accounts.sessions import Caller
from packrat_server.api.description import uri
from packrat_server.api.records import READERS, Record
from packrat_server.promotion.wanted_files import SplitFiles, split_files, split_touched
from packrat_server.store.journal import Touched

PACKAGES_LIMIT = 20
FILES_LIMIT = 100
TEXT_LIMIT = 128 * 1024
"""Characters of justification and provenance, which may be long, in all records of an answer."""

_Packages = Mapping[str, Mapping[str, dict[str, Record] | list[str]]]


@dataclass(frozen=True, slots=True)
class RepoRecords:
    """The files that the changed packages of one repository have now.

    Attributes:
        packages: Name of a package → `wanted` and `deprocated`: URI of a file → its record; and, where these are only
            the files that changed, `touched`: the URIs of all that did.
        files: Number of the files.
        text: Number of characters of their texts.
    """

    packages: _Packages
    files: int
    text: int


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
    connection: Connection, caller: Caller, repo: str, packages: Touched, *, only_touched: bool
) -> RepoRecords | None:
    """Read what the changed packages of one repository have now; None where that is too much, or it is gone.

    Args:
        connection: An open transaction.
        caller: Who asks.
        repo: The name of the repository.
        packages: Its packages that changed.
        only_touched: Of these packages only the files that changed, where that is known.
    """
    names = sorted(packages)
    if len(names) > PACKAGES_LIMIT:
        return None
    touched = _list_touched(packages) if only_touched else None
    files = split_touched(connection, repo, names, touched) if touched is not None else None
    if touched is not None and files is not None:
        records = _read_records(connection, caller, names, files)
        return _name_touched(records, packages, len(touched)) if records is not None else None
    files = split_files(connection, repo, names, FILES_LIMIT)
    return _read_records(connection, caller, names, files) if files is not None else None


def _list_touched(packages: Touched) -> Sequence[int] | None:
    """List the ids of all files that changed; None where that is not known of a package, or they are too many."""
    numbers: list[int] = []
    for files in packages.values():
        if files is None:
            return None
        numbers += files
    return numbers if len(numbers) <= FILES_LIMIT else None


def _name_touched(records: RepoRecords, packages: Touched, count: int) -> RepoRecords:
    uris = {name: [uri("Package/PackageFile", id_) for id_ in sorted(ids or ())] for name, ids in packages.items()}
    named = {name: {**kinds, "touched": uris[name]} for name, kinds in records.packages.items()}
    return replace(records, packages=named, files=count)


def _read_records(
    connection: Connection, caller: Caller, names: Sequence[str], files: SplitFiles
) -> RepoRecords | None:
    ids = [str(number) for number in (*files.wanted, *files.deprocated)]
    records = READERS["Package/PackageFile"](connection, caller, ids)
    text = sum(len(record["justification"]) + len(record["provenance"]) for record in records.values())
    if text > TEXT_LIMIT:
        return None
    # A package that has no file any more is named, too.
    packages: dict[str, dict[str, dict[str, Record]]] = {name: {"wanted": {}, "deprocated": {}} for name in names}
    by_uri = {uri("Package/Package", name): kinds for name, kinds in packages.items()}
    for kind, numbers in (("wanted", files.wanted), ("deprocated", files.deprocated)):
        for number in numbers:
            record = records[str(number)]
            by_uri[record["package"]][kind][uri("Package/PackageFile", number)] = record
    return RepoRecords(packages, len(ids), text)
