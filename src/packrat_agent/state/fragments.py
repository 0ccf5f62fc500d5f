"""Remembers fragments: what the index needs to know of a package file, read once in its life.

A fragment is found by the SHA-256 of the package file and by its source. A format that reads more than it did raises
the version of its fragments, and a new signing key makes new products: either has the files read again.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packrat_agent.model.entries import Fragment, Product
from packrat_agent.state.database import Database


@dataclass(frozen=True, slots=True)
class FragmentSource:
    """Who read a fragment: the format, the version of its fragments, the fingerprint of the key that signed or ''."""

    kind: str
    version: int
    signer: str = ""


class Fragments:
    """The fragments in the state database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def save(self, source: FragmentSource, read: Mapping[str, Fragment]) -> None:
        """Keep fragments under the SHA-256s of the files that they were read from."""
        with self._db.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO fragments (format, fragment_version, signer, sha256, size, name, version, "
                "arch, body, products) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(source.kind, source.version, source.signer, sha256, fragment.size),
                        *(fragment.name, fragment.version, fragment.arch, fragment.body),
                        json.dumps(list_products(fragment)),
                    )
                    for sha256, fragment in read.items()
                ],
            )

    def forget_unneeded(self, sources: Iterable[FragmentSource]) -> None:
        """Forget the fragments of files that nobody wants and of which nothing is on disk, and what no source made."""
        present = [f"{source.kind} {source.version} {source.signer}" for source in sources]
        made = f"format || ' ' || fragment_version || ' ' || signer IN (?{', ?' * (len(present) - 1)})"
        with self._db.transaction() as db:
            db.execute(
                f"DELETE FROM fragments WHERE NOT (sha256 IN (SELECT sha256 FROM files) AND {made}) "
                "AND sha256 NOT IN (SELECT sha256 FROM live_files) AND NOT EXISTS (SELECT 1 FROM json_each(products) "
                "JOIN live_files ON live_files.sha256 = json_extract(json_each.value, '$[1]'))",
                present,
            )


def list_products(fragment: Fragment) -> list[list[object]]:
    """List a fragment's products as they are stored: [name, SHA-256, size, beside] each."""
    return [[product.name, product.sha256, product.size, product.beside] for product in fragment.products]


def read_products(text: str) -> tuple[Product, ...]:
    """Read back the products of a row."""
    return () if text == "[]" else tuple(Product(*product) for product in json.loads(text))
