"""Remembers what each publication last published: its identity, its generation, and facts for the next time."""

import json
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

from packrat_agent.model.tree import Intent, ReadyPublication, ReadyTree, find_ended
from packrat_agent.state.database import Database
from packrat_agent.state.generations import Generations
from packrat_agent.state.rows_among import read_among


class LateFacts(Mapping[str, Mapping[str, str]]):
    """The facts of a repository's publications, read when somebody asks for the first of them."""

    def __init__(self, publications: "Publications", repo: str) -> None:
        self._publications = publications
        self._repo = repo

    @cached_property
    def _facts(self) -> Mapping[str, Mapping[str, str]]:
        return self._publications.facts(self._repo)

    def __getitem__(self, name: str) -> Mapping[str, str]:
        return self._facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)


class Publications:
    """The table of publications, each known by its repository and its name."""

    def __init__(self, db: Database, generations: Generations) -> None:
        self._db = db
        self._generations = generations

    def identities(self, repo: str, names: Collection[str] | None = None) -> dict[str, str]:
        """Map publication → the identity that was last published; '' if it has to be published again.

        With `names`, only those are looked up.
        """
        sql = "SELECT name, identity FROM publications WHERE repo = ?"
        return dict(read_among(self._db, sql, (repo,), "name", names))

    def published_at(self, repo: str) -> float | None:
        """Tell when anything of a repository was last published, in epoch seconds; None where nothing was."""
        rows = self._db.rows("SELECT max(published_at) FROM publications WHERE repo = ?", (repo,))
        return rows[0][0] or None

    def facts(self, repo: str) -> dict[str, Mapping[str, str]]:
        """Map publication → the facts that were remembered with its last generation."""
        rows = self._db.rows("SELECT name, facts FROM publications WHERE repo = ?", (repo,))
        # Most of the thousands of projects of a Python repository remember nothing.
        return {name: json.loads(facts) if facts != "{}" else {} for name, facts in rows}

    def late_facts(self, repo: str) -> LateFacts:
        """Give the facts of all publications, read when the first is asked for: not every format asks."""
        return LateFacts(self, repo)

    def facts_with(self, repo: str, fact: str) -> dict[str, Mapping[str, str]]:
        """Map publication → facts for those that have the named fact; others may have very many facts."""
        sql = "SELECT name, facts FROM publications WHERE repo = ? AND instr(facts, ?)"
        return {name: json.loads(facts) for name, facts in self._db.rows(sql, (repo, json.dumps(fact)))}

    def generation(self, repo: str, name: str) -> int | None:
        """Give the number of the generation that was last published; None for a publication that is not known."""
        rows = self._db.rows("SELECT generation FROM publications WHERE repo = ? AND name = ?", (repo, name))
        return rows[0][0] if rows else None

    def first_generations(self, repo: str, names: Collection[str]) -> dict[str, int]:
        """Map those of the publications that are known → the first generation that names what is written now.

        0 if that is not known: a publication that is published again because a file was damaged named that file before.
        """
        sql = "SELECT name, identity, generation FROM publications WHERE repo = ?"
        rows = read_among(self._db, sql, (repo,), "name", names)
        return {name: generation + 1 if identity else 0 for name, identity, generation in rows}

    def remember_others(self, repo: str, name: str, facts: Mapping[str, str]) -> None:
        """Remember facts of a publication that another agent made; what is known of one of ours stays.

        Args:
            repo: The name of the repository.
            name: The name of the publication.
            facts: What is known of it.
        """
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO publications (repo, name, identity, generation, facts, published_at) "
                "VALUES (?, ?, '', 0, ?, 0)",
                (repo, name, json.dumps(dict(facts))),
            )

    def note(
        self, repo: str, publication: ReadyPublication, generation: int, now: float, *, leaves_indexes: bool
    ) -> None:
        """Remember that a generation was published.

        Args:
            repo: The name of the repository.
            publication: What was published.
            generation: The number of its generation.
            now: The moment, in epoch seconds.
            leaves_indexes: Whether index files of the generation before it stay on disk for a while.

        Raises:
            DiskError: The change can't be written.
        """
        facts = json.dumps(dict(publication.facts))
        with self._db.transaction() as db:
            if leaves_indexes:
                self._generations.note_replaced(repo, publication.name, generation - 1, now)
            db.execute(
                "INSERT OR REPLACE INTO publications (repo, name, identity, generation, facts, published_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (repo, publication.name, publication.identity, generation, facts, now),
            )

    def publish_again(self, repo: str, name: str) -> None:
        """Have a publication published again, although nothing of it changed: a file of it is damaged."""
        with self._db.transaction() as db:
            db.execute("UPDATE publications SET identity = '' WHERE repo = ? AND name = ?", (repo, name))

    def ended(self, tree: ReadyTree | Intent) -> list[str]:
        """Name the publications that are known and that a tree ends."""
        asked = tree.ended if tree.publication_names is None else None
        rows = read_among(self._db, "SELECT name FROM publications WHERE repo = ?", (tree.repo.name,), "name", asked)
        return find_ended(tree, [name for (name,) in rows])

    def drop(self, repo: str, name: str | None = None) -> None:
        """Forget a publication with its earlier generations, or all of a repository."""
        with self._db.transaction() as db:
            where, values = ("", (repo,)) if name is None else (" AND name = ?", (repo, name))
            db.execute(f"DELETE FROM publications WHERE repo = ?{where}", values)
            self._generations.drop(repo, name)
