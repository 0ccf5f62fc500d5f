"""Remembers what is on disk: package files and index files.

A file is written down before it is put in place (`begin`), and with what stands there afterwards (`finish`), so a crash
leaves no file that nobody knows. What an index no longer names is withdrawn; garbage collection removes it later.
"""

import json
from collections.abc import Collection, Iterable

from packrat_agent.model.entries import StoredFile
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Intent, LiveFile, ReadyPublication, ReadyTree, Retained
from packrat_agent.state.database import Database
from packrat_agent.state.index_digests import IndexDigests
from packrat_agent.state.publications import Publications
from packrat_agent.state.published_names import PublishedNames
from packrat_agent.state.revisions import Revisions
from packrat_agent.state.rows_among import read_among


class LiveFiles:
    """The disk side of the state database; all paths are relative to `root_dir`."""

    def __init__(
        self,
        db: Database,
        revisions: Revisions,
        publications: Publications,
        names: PublishedNames,
        digests: IndexDigests,
    ) -> None:
        """Take the state database, and what is told of each change of what is published.

        Args:
            db: The state database.
            revisions: Those of the repositories.
            publications: What was published of each.
            names: Which package file stands for each path.
            digests: The digests of the indexes.
        """
        self._db = db
        self._revisions = revisions
        self._publications = publications
        self._names = names
        self._digests = digests

    def packages(self, repo: str, paths: Collection[str] | None = None) -> dict[str, str]:
        """Map path → SHA-256 for the package files of a repository that were seen in place, withdrawn ones too.

        With `paths`, only those are looked up.
        """
        # The + keeps the index by repository out if few paths are asked for.
        sql = f"SELECT path, sha256 FROM live_files WHERE {'' if paths is None else '+'}repo = ? AND +publication = '' "
        return dict(read_among(self._db, f"{sql}AND inode > 0", (repo,), "path", paths))

    def withdrawn(self, repo: str) -> frozenset[str]:
        """Give the paths of a repository's package files that no index names any more."""
        # The + keeps the index by repository out: few files are withdrawn.
        sql = "SELECT path FROM live_files WHERE +repo = ? AND +publication = '' AND withdrawn_at IS NOT NULL"
        return frozenset(path for (path,) in self._db.rows(sql, (repo,)))

    def withdrawn_of(self, paths: Iterable[str]) -> frozenset[str]:
        """Give those of the paths that no index names any more."""
        sql = "SELECT path FROM live_files WHERE withdrawn_at IS NOT NULL"
        return frozenset(path for (path,) in read_among(self._db, sql, (), "path", frozenset(paths)))

    def differing(self, files: Iterable[LiveFile]) -> list[str]:
        """Give the paths of those files that were seen in place with other bytes."""
        intended = {file.path: file.sha256 for file in files}
        rows = read_among(self._db, "SELECT path, sha256 FROM live_files WHERE inode > 0", (), "path", intended)
        return [path for path, sha256 in rows if sha256 != intended[path]]

    def known_of(self, paths: Iterable[str]) -> frozenset[str]:
        """Give those of the paths that the agent has put, or was about to put, there."""
        sql = "SELECT path FROM live_files WHERE TRUE"
        return frozenset(path for (path,) in read_among(self._db, sql, (), "path", frozenset(paths)))

    def has_files(self) -> bool:
        """Say whether anything is known of the tree below `root_dir`."""
        return bool(self._db.rows("SELECT 1 FROM live_files LIMIT 1"))

    def count_files(self) -> int:
        """Count all files that the agent has put, or was about to put, below `root_dir`."""
        return int(self._db.rows("SELECT count(*) FROM live_files")[0][0])

    def copies(self, sha256s: Collection[str]) -> dict[str, str]:
        """Map SHA-256 → the path of a package file with those bytes, in any repository."""
        sql = "SELECT sha256, path FROM live_files WHERE publication = '' AND inode > 0"
        return dict(read_among(self._db, sql, (), "sha256", sha256s))

    def begin(self, repo: str, intended: Iterable[LiveFile]) -> None:
        """Write down what is about to be put in place; it is on the disk when this returns."""
        with self._db.transaction(durable=True) as db:
            files = list(intended)
            publications = {file.publication for file in files}
            self._digests.doubt(repo, publications)
            first = self._publications.first_generations(repo, publications)
            db.executemany(
                "INSERT INTO live_files (path, repo, publication, sha256, size, mtime_ns, inode, verified_at, "
                "pointer_rank, retained, first_generation) VALUES (?, ?, ?, ?, ?, 0, 0, 0, ?, ?, ?) "
                "ON CONFLICT (path) DO UPDATE SET withdrawn_at = NULL, withdrawn_generation = NULL",
                [
                    (f.path, repo, name, f.sha256, f.size, f.pointer_rank, f.retained, first.get(name, 1))
                    for f in files
                    for name in (f.publication,)
                ],
            )

    def finish(
        self,
        tree: ReadyTree | Intent,
        intended: Collection[LiveFile],
        written: Iterable[StoredFile],
        now: float,
        *,
        withdrawn: Iterable[str] = (),
        removed: Iterable[str] = (),
    ) -> None:
        """Write down what was published, and withdraw what the new publications no longer name.

        Args:
            tree: What was published, or is about to be.
            intended: What was passed to `begin`.
            written: What stands there now.
            now: The moment, in epoch seconds.
            withdrawn: Package files that the index no longer names.
            removed: Pointers that were removed.
        """
        repo = tree.repo.name
        with self._db.transaction():
            self._digests.doubt(repo, [publication.name for publication in tree.publications])
            self._note_written(repo, written, intended, now)
            self._names.add((file.path, file.origin or file.sha256) for file in intended if not file.publication)
            named: dict[str, set[str]] = {}
            for file in intended:
                named.setdefault(file.publication, set()).add(file.path)
            for publication in tree.publications:
                self._note_publication(tree.repo, publication, named.get(publication.name, set()), now)
            self._withdraw(withdrawn, now, 0)
            self._drop_publications(tree, now)
            self._remove(repo, list(removed))

    def _note_written(self, repo: str, written: Iterable[StoredFile], intended: Iterable[LiveFile], now: float) -> None:
        seen = {file.path: file for file in written}
        rows = [
            (f.path, repo, f.publication, at.sha256, at.size, at.mtime_ns, at.inode, f.pointer_rank, f.retained, now)
            for f in intended
            if (at := seen.get(f.path)) is not None
        ]
        with self._db.transaction() as db:
            # Most rows are as `begin` wrote them. An upsert would rewrite their index entries, too.
            known = db.executemany(
                "UPDATE live_files SET size = ?5, mtime_ns = ?6, inode = ?7, pointer_rank = ?8, retained = ?9, "
                "verified_at = ?10, withdrawn_at = NULL, withdrawn_generation = NULL "
                "WHERE path = ?1 AND repo = ?2 AND publication = ?3 AND sha256 = ?4",
                rows,
            )
            if known.rowcount == len(rows):
                return
            db.executemany(
                "INSERT INTO live_files (path, repo, publication, sha256, size, mtime_ns, inode, pointer_rank, "
                "retained, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
                "repo = excluded.repo, publication = excluded.publication, sha256 = excluded.sha256, "
                "size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode, "
                "verified_at = excluded.verified_at, pointer_rank = excluded.pointer_rank, "
                "retained = excluded.retained, withdrawn_at = NULL, withdrawn_generation = NULL",
                rows,
            )

    def _note_publication(self, repo: Repo, publication: ReadyPublication, named: Collection[str], now: float) -> None:
        """Start a publication's next generation, and withdraw the files that it does not name."""
        with self._db.transaction() as db:
            former = self._publications.generation(repo.name, publication.name)
            generation = (former or 0) + 1
            sql = "SELECT path, retained FROM live_files WHERE repo = ? AND publication = ? AND withdrawn_at IS NULL"
            of_publication, since = (repo.name, publication.name), publication.since
            if since is None:
                gone = [row for row in db.execute(sql, of_publication) if row[0] not in named]
            else:
                paths = [path_in_root(repo, path) for path in (*since.gone_content, *since.gone_pointers)]
                # The + has SQLite look the paths up, one by one.
                gone = list(read_among(self._db, sql.replace(" repo", " +repo"), of_publication, "path", paths))
            inside = path_in_root(repo, "")
            here = [(path, retained) for path, retained in gone if path.startswith(inside)]
            # Before the first generation there is only what a publish that was cut off left behind. It goes by time
            # alone: a generation 0 would take the place of a real one in the retention rules.
            self._withdraw([path for path, _ in here], now, 0 if former is None else generation)
            # A repository that moved leaves its pointers in the former directory, with all that they name, for a while.
            self._withdraw([path for path, _ in gone if not path.startswith(inside)], now, 0)
            leaves_indexes = former is not None and any(retained != Retained.AS_PACKAGE for _, retained in here)
            self._publications.note(repo.name, publication, generation, now, leaves_indexes=leaves_indexes)

    def _drop_publications(self, tree: ReadyTree | Intent, now: float) -> None:
        repo = tree.repo.name
        with self._db.transaction() as db:
            for name in self._publications.ended(tree):
                rows = db.execute("SELECT path FROM live_files WHERE repo = ? AND publication = ?", (repo, name))
                self._withdraw([path for (path,) in rows], now, 0)
                self._digests.doubt(repo, (name,))
                self._publications.drop(repo, name)

    def _remove(self, repo: str, pointers: Collection[str]) -> None:
        """Forget pointers that were removed, also those of a publication that was never completed, and that ended."""
        sql = "SELECT DISTINCT publication FROM live_files WHERE +repo = ?"
        with self._db.transaction() as db:
            self._digests.doubt(repo, [name for (name,) in read_among(self._db, sql, (repo,), "path", pointers)])
            db.executemany("DELETE FROM live_files WHERE path = ?", [(path,) for path in pointers])

    def _withdraw(self, paths: Iterable[str], now: float, generation: int) -> None:
        """Note which files no index names any more, from which generation on (0: none of this publication)."""
        # What was written for a generation that was never published counts as part of the one before.
        self._db.write_rows(
            "UPDATE live_files SET withdrawn_at = ?, withdrawn_generation = ?, "
            "first_generation = min(first_generation, ?) WHERE path = ? AND withdrawn_at IS NULL",
            ((now, generation, max(0, generation - 1), path) for path in paths),
        )

    def reinstate(self, repo: str, paths: Iterable[str]) -> None:
        """Take back the withdrawal of package files that are wanted again before they were removed."""
        with self._db.transaction() as db:
            withdrawn = self.withdrawn(repo)
            db.executemany(
                "UPDATE live_files SET withdrawn_at = NULL, withdrawn_generation = NULL WHERE path = ?",
                [(path,) for path in paths if path in withdrawn],
            )

    def pointers(self, repo: str, but: Collection[str] = ()) -> dict[str, list[str]]:
        """Map publication → its pointers on disk, the last published first; those of `but` are left out."""
        # The names alone are in the index; most often none is left, though one publication may have 6,000 files.
        names = "SELECT DISTINCT publication FROM live_files WHERE repo = ? AND publication > ''"
        left_out = frozenset(but)
        return self.pointers_of(repo, [name for (name,) in self._db.rows(names, (repo,)) if name not in left_out])

    def pointers_of(self, repo: str, publications: Collection[str]) -> dict[str, list[str]]:
        """Map each of some publications → its pointers on disk, the last published first."""
        found: dict[str, list[str]] = {}
        for publication, path in self._db.rows(
            "SELECT publication, path FROM live_files WHERE repo = ? AND publication IN "
            "(SELECT value FROM json_each(?)) AND pointer_rank > 0 AND withdrawn_at IS NULL ORDER BY pointer_rank DESC",
            (repo, json.dumps(list(publications))),
        ):
            found.setdefault(publication, []).append(path)
        return found

    def published_repos(self) -> frozenset[str]:
        """Name the repositories that have files on disk that are not withdrawn."""
        rows = self._db.rows(
            "SELECT repo FROM publications UNION SELECT repo FROM live_files WHERE withdrawn_at IS NULL"
        )
        return frozenset(name for (name,) in rows)

    def repos_of(self, paths: Iterable[str]) -> frozenset[str]:
        """Name the repositories that files belong to; withdrawn files count for none, since nobody mends them."""
        sql = "SELECT DISTINCT repo FROM live_files WHERE withdrawn_at IS NULL"
        return frozenset(name for (name,) in read_among(self._db, sql, (), "path", frozenset(paths)))

    def drop_repo(self, repo: str, now: float) -> None:
        """Withdraw everything of a repository that left the mirror."""
        self._revisions.advance(repo)
        self._digests.drop(repo)
        with self._db.transaction() as db:
            rows = db.execute("SELECT path FROM live_files WHERE repo = ?", (repo,)).fetchall()
            self._withdraw([path for (path,) in rows], now, 0)
            self._publications.drop(repo)

    def adopt(self, repo: str, files: Iterable[tuple[StoredFile, str]], now: float) -> None:
        """Remember package files that were found in their places with the right bytes.

        Args:
            repo: The name of the repository.
            files: Each with the SHA-256 of the package file that it was made from.
            now: The moment, in epoch seconds.
        """
        adopted = sorted(files, key=lambda found: found[0].path)
        with self._db.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO live_files (path, repo, publication, sha256, size, mtime_ns, inode, "
                f"verified_at, pointer_rank, retained) VALUES (?, ?, '', ?, ?, ?, ?, ?, 0, {Retained.AS_INDEX:d})",
                [(f.path, repo, f.sha256, f.size, f.mtime_ns, f.inode, now) for f, _ in adopted],
            )
            self._names.add((file.path, origin) for file, origin in adopted)

    def adopt_withdrawn(self, repo: str, files: Iterable[StoredFile], now: float) -> None:
        """Remember files that were found beside the package files that they belong to, as withdrawn.

        Args:
            repo: The name of the repository.
            files: The files.
            now: When they were found, in epoch seconds.
        """
        with self._db.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO live_files (path, repo, publication, sha256, size, mtime_ns, inode, "
                "verified_at, pointer_rank, retained, withdrawn_at, withdrawn_generation) "
                f"VALUES (?, ?, '', ?, ?, ?, ?, ?, 0, {Retained.AS_PACKAGE:d}, ?, 0)",
                [(f.path, repo, f.sha256, f.size, f.mtime_ns, f.inode, now, now) for f in files],
            )

    def forget(self, paths: Iterable[str]) -> None:
        """Forget files that are gone or damaged, and have the publications that name them published again."""
        with self._db.transaction() as db:
            for path in paths:
                row = db.execute(
                    "SELECT repo, publication, withdrawn_at FROM live_files WHERE path = ?", (path,)
                ).fetchone()
                if row and row[2] is None:
                    self._revisions.advance(row[0])
                    self._digests.doubt(row[0], (row[1],))
                    self._publications.publish_again(row[0], row[1])
                db.execute("DELETE FROM live_files WHERE path = ?", (path,))

    def distrust(self, paths: Iterable[str]) -> None:
        """Have files that may have other bytes written again, not taken for gone; withdrawn ones are left alone."""
        with self._db.transaction() as db:
            for path in paths:
                where = "FROM live_files WHERE path = ? AND withdrawn_at IS NULL"
                row = db.execute(f"SELECT repo, publication {where}", (path,)).fetchone()
                if row:
                    self._revisions.advance(row[0])
                    self._publications.publish_again(*row)
                    db.execute("UPDATE live_files SET inode = 0 WHERE path = ?", (path,))
