"""Gives the records of the files of changed packages, so that a mirror has no further question for a small change.

A mirror gets the same from the filters `repo` (or `kept`) of PackageFile and from GET. What is given here was read in
the transaction that found the change. Where there is much to tell, nothing is told of that repository: the mirror asks.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from packrat_server.accounts.sessions import Caller
from packrat_server.api.description import uri
from packrat_server.api.records import READERS, Record
from packrat_server.promotion.wanted_files import has_more_files, kept_files, wanted_files

PACKAGES_LIMIT = 20
FILES_LIMIT = 100
TEXT_LIMIT = 128 * 1024
"""Characters of justification and provenance, which may be long, in all records of an answer."""

_Files = dict[str, Record]


class ChangedRecords:
    """Collects the records for one answer, within the limits."""

    def __init__(self, connection: Connection, caller: Caller) -> None:
        self._connection = connection
        self._caller = caller
        self._packages_left = PACKAGES_LIMIT
        self._files_left = FILES_LIMIT
        self._text_left = TEXT_LIMIT

    def read(self, repos: Mapping[str, Collection[str] | None]) -> dict[str, dict[str, dict[str, _Files]]]:
        """Read what the changed packages have now.

        Args:
            repos: Repository → names of its packages that changed; None: any package may have changed.

        Returns:
            URI of a repository → name of a package → `wanted` and `deprocated`: URI of a file → its record.
        """
        read = {uri("Repo/Repo", name): self._read(name, packages) for name, packages in repos.items() if packages}
        return {name: packages for name, packages in read.items() if packages is not None}

    def _read(self, repo: str, packages: Collection[str]) -> dict[str, dict[str, _Files]] | None:
        connection, names = self._connection, sorted(packages)
        if len(names) > self._packages_left or has_more_files(connection, repo, names, self._files_left):
            return None
        wanted = wanted_files(connection, repo, names)
        deprocated = kept_files(connection, repo, names, only_deprocated=True)
        ids = [str(number) for number in (*wanted, *deprocated)]
        records = READERS["Package/PackageFile"](connection, self._caller, ids)
        text = sum(len(record["justification"]) + len(record["provenance"]) for record in records.values())
        if text > self._text_left:
            return None
        self._packages_left -= len(names)
        self._files_left -= len(ids)
        self._text_left -= text
        # A package that has no file any more is told, too.
        told: dict[str, dict[str, _Files]] = {name: {"wanted": {}, "deprocated": {}} for name in names}
        by_uri = {uri("Package/Package", name): files for name, files in told.items()}
        for kind, numbers in (("wanted", wanted), ("deprocated", deprocated)):
            for number in numbers:
                record = records[str(number)]
                by_uri[record["package"]][kind][uri("Package/PackageFile", number)] = record
        return told
