"""Remembers fragments: what the index needs to know of a package file, read once in its life.

A fragment is found by the SHA-256 of the package file and by its source. A format that reads more than it did raises
the version of its fragments, and a new signing key makes new products: either has the files read again.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any

from packrat_agent.model.entries import Fragment, Product
from packrat_agent.state.database import Database

# In order: SQLite writes this list to a temporary file, again and again where hashes come as they are.
_WANTED = "(SELECT sha256 FROM files ORDER BY sha256)"

NEEDED_NAME = "CASE json_extract(products, '$[#-1][1]') WHEN '' THEN json_extract(products, '$[#-1][0]') END"
"""In SQL, the file name that clients need a package file to have; NULL where they don't choose by it."""


@dataclass(frozen=True, slots=True)
class FragmentSource:
    """The reader of a fragment: the format, the version of its fragments, the signing key's fingerprint or ''."""

    kind: str
    version: int
    signer: str = ""

    @property
    def label(self) -> str:
        """Name the source in one word, or in two if only unsigned packages are signed."""
        return f"{self.kind}-{self.version}-{self.signer or 'none'}"


class Fragments:
    """The fragments in the state database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def save(self, source: FragmentSource, read: Mapping[str, Fragment]) -> None:
        """Keep fragments under the SHA-256s of the files that they were read from."""
        self._db.write_rows(
            "INSERT OR REPLACE INTO fragments (format, fragment_version, signer, sha256, size, name, version, "
            "arch, body, products, backup, made_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *(source.kind, source.version, source.signer, sha256, fragment.size),
                    *(fragment.name, fragment.version, fragment.arch, fragment.body),
                    json.dumps(list_products(fragment)) if fragment.products else "[]",
                    None if needs_backup(fragment) else "",
                    fragment.made_by,
                )
                # In this order each page of the indexes is written once.
                for sha256, fragment in sorted(read.items())
            ),
        )

    def note_backups(self, source: FragmentSource, written: Mapping[str, str | None]) -> None:
        """Remember the SHA-256 of each backup, under that of the package file; '': it needs none, None: it has none."""
        where = "format = ? AND fragment_version = ? AND signer = ? AND sha256 = ?"
        values = ((digest, *_row(source), sha256) for sha256, digest in written.items())
        self._db.write_rows(f"UPDATE fragments SET backup = ? WHERE {where}", values)

    def backups(self, sources: Iterable[FragmentSource]) -> dict[FragmentSource, dict[str, str | None]]:
        """Map source → SHA-256 → that of the backup, or None, for the wanted package files that need a backup."""
        if not self._db.rows(
            "SELECT 1 FROM fragments INDEXED BY fragments_with_products WHERE products <> '[]' LIMIT 1"
        ):
            # What is published as it is needs none.
            return {source: {} for source in sources}
        # The index would look up each row by itself, which takes six times as long as reading all rows.
        rows = "FROM fragments NOT INDEXED WHERE backup IS NOT ''"
        having = set(self._db.rows(f"SELECT DISTINCT format, fragment_version, signer {rows}"))
        sql = (
            f"SELECT sha256, backup {rows} AND format = ? AND fragment_version = ? AND signer = ? "
            f"AND sha256 IN {_WANTED}"
        )
        return {source: dict(self._db.rows(sql, row)) if (row := _row(source)) in having else {} for source in sources}

    def read(self, source: FragmentSource, sha256: str) -> Fragment | None:
        """Give the fragment of one package file; None if it is not known."""
        sql = (
            "SELECT body, name, version, arch, products, size, made_by FROM fragments WHERE format = ? "
            "AND fragment_version = ? AND signer = ? AND sha256 = ?"
        )
        for columns in self._db.rows(sql, (*_row(source), sha256)):
            return read_fragment(columns)
        return None

    def take_over(self, signer: str, accepted: Collection[str]) -> None:
        """Count what other keys have signed as made for this one, and forget what no accepted key has signed.

        Args:
            signer: The key that signs now, as a source names it.
            accepted: The other keys, as sources name them.

        Raises:
            DiskError: The state database can't be written.
        """
        marks = f"({', '.join('?' * len(accepted))})"
        maker = "CASE made_by WHEN '' THEN signer ELSE made_by END"
        with self._db.transaction() as db:
            db.execute(
                f"DELETE FROM fragments WHERE signer = ? AND made_by <> '' AND made_by NOT IN {marks}",
                (signer, *accepted),
            )
            if not accepted:
                return
            db.execute(
                "INSERT OR IGNORE INTO fragments (format, fragment_version, signer, sha256, size, name, version, arch, "
                "body, products, backup, made_by) SELECT format, fragment_version, ?, sha256, size, name, version, "
                "arch, body, products, CASE backup WHEN '' THEN '' END, CASE "
                f"{maker} WHEN ? THEN '' ELSE {maker} END FROM fragments "
                f"WHERE signer IN {marks} AND {maker} IN (?, {marks[1:]}",
                (signer, signer, *accepted, signer, *accepted),
            )

    def made_by_others(self, signer: str, repos: Collection[str]) -> int:
        """Count the package files that some repositories want and that stand with the signature of another key."""
        marks = ", ".join("?" * len(repos))
        sql = (
            "SELECT count(DISTINCT sha256) FROM fragments WHERE signer IN (?, 'unsigned ' || ?) AND made_by <> '' "
            f"AND products <> '[]' AND +sha256 IN (SELECT sha256 FROM files WHERE repo IN ({marks}))"
        )
        return int(self._db.rows(sql, (signer, signer, *repos))[0][0])

    def forget_unneeded(self, sources: Iterable[FragmentSource]) -> None:
        """Forget the fragments of files that nobody wants and of which nothing is on disk, and what no source made."""
        present = [f"{source.kind} {source.version} {source.signer}" for source in sources]
        made = f"format || ' ' || fragment_version || ' ' || signer IN ({', '.join('?' * len(present))})"
        with self._db.transaction() as db:
            db.execute(
                # The indexes tell of nearly all that they are needed. That of the files on disk is in the order of this
                # one, so it is asked first; the list of what is wanted is made where it doesn't tell.
                "DELETE FROM fragments WHERE rowid IN (SELECT rowid FROM fragments WHERE CASE WHEN EXISTS "
                "(SELECT 1 FROM live_files WHERE live_files.sha256 = fragments.sha256) THEN 0 "
                f"ELSE NOT (sha256 IN {_WANTED} AND {made}) END) AND NOT EXISTS "
                "(SELECT 1 FROM json_each(products) JOIN live_files ON "
                "live_files.sha256 = json_extract(json_each.value, '$[1]'))",
                present,
            )


def _row(source: FragmentSource) -> tuple[str, int, str]:
    return source.kind, source.version, source.signer


def needs_backup(fragment: Fragment) -> bool:
    """Tell whether the package file can't be read again from the tree, since something else is published in its place.

    If all products lie beside it, it is published itself.
    """
    return not all(product.beside for product in fragment.products)


def list_products(fragment: Fragment) -> list[list[object]]:
    """List a fragment's products as they are stored: [name, SHA-256, size, beside] each."""
    return [[product.name, product.sha256, product.size, product.beside] for product in fragment.products]


def read_fragment(columns: Sequence[Any]) -> Fragment:
    """Make a fragment of its body, name, version, arch, products, size and made_by in a row."""
    body, name, version, arch, products, size, made_by = columns
    # What many fragments say is one text for all, as in `read_file`.
    return Fragment(body, intern(name), version, intern(arch), read_products(products), size=size, made_by=made_by)


def read_products(text: str) -> tuple[Product, ...]:
    """Read back the products of a row."""
    if text == "[]":
        return ()
    return tuple(Product(intern(name), *more) for name, *more in json.loads(text))
