"""Remembers each publish from before its first file is written until the state database knows all of it.

`begin` and `end` enclose a publish. What has begun and not ended when the agent starts was cut off by a crash.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Intent, LiveFile, ReadyPublication, Retained, Since
from packrat_agent.state.database import Database
from packrat_agent.state.published import LiveFiles
from packrat_core.errors import ConfigError

_FAST = 1
_LARGE_BYTES = 1024 * 1024
"""An intent of this size is written faster when it is compressed; a smaller one, mostly of hashes, is not."""

_FIELDS = frozenset({"repo", "publications", "names", "ended", "files", "leaving", "withdrawn"})


class Intents:
    """The table of what is being published, one row a repository."""

    def __init__(self, db: Database, live: LiveFiles) -> None:
        self._db = db
        self._live = live

    def begin(self, intent: Intent) -> None:
        """Write down what is about to be done; it is on the disk when this returns."""
        with self._db.transaction(durable=True) as db:
            self._live.begin(intent.repo.name, intent.files)
            db.execute("INSERT OR REPLACE INTO intents (repo, body) VALUES (?, ?)", (intent.repo.name, _write(intent)))

    def end(self, intent: Intent, written: Iterable[StoredFile], now: float) -> None:
        """Record that the intent was carried out.

        Args:
            intent: What was about to be done.
            written: The files that are in their places now.
            now: The time of the publication, in epoch seconds.
        """
        with self._db.transaction():
            self._live.finish(intent, intent.files, written, now, withdrawn=intent.withdrawn, removed=intent.leaving)
            self.drop(intent.repo.name)

    def give_up(self, intent: Intent) -> None:
        """Forget the intent; the files that it was to replace may be replaced already, so trust them no more."""
        with self._db.transaction():
            self._live.distrust(self._live.differing(intent.files))
            self.drop(intent.repo.name)

    def drop(self, repo: str) -> None:
        """Forget what was about to be done."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM intents WHERE repo = ?", (repo,))

    def cut_off(self, repo: str | None = None) -> tuple[Intent, ...]:
        """List what has begun and not ended, of all repositories or of one.

        Raises:
            ConfigError: One can't be read, such as after the agent was put back to an older version.
        """
        where, values = ("", ()) if repo is None else (" WHERE repo = ?", (repo,))
        rows = self._db.rows(f"SELECT repo, body FROM intents{where}", values)
        return tuple(_read_known(name, body) for name, body in rows)


def _write(intent: Intent) -> bytes:
    repo = intent.repo
    record = {
        "repo": [repo.name, repo.directory, repo.kind],
        "publications": [
            [publication.name, publication.identity, dict(publication.facts), _write_since(publication.since)]
            for publication in intent.publications
        ],
        "names": intent.publication_names,
        "ended": sorted(intent.ended),
        "files": [
            [file.path, file.publication, file.sha256, file.size, file.pointer_rank, file.retained, file.origin]
            for file in intent.files
        ],
        "leaving": intent.leaving,
        "withdrawn": intent.withdrawn,
    }
    text = json.dumps(record, separators=(",", ":")).encode()
    return zlib.compress(text, _FAST if len(text) > _LARGE_BYTES else 0)


def _read_known(repo: str, body: bytes) -> Intent:
    try:
        return _read(body)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise ConfigError(
            f"the state database holds a publication of {repo or 'the site'} that was cut off, and this packrat-agent "
            f"can't read it ({error!r}): a newer one began it, or the database is damaged",
            hint="upgrade packrat-agent, or move the database away: a new one is made, and the files on disk are "
            "adopted without downloading them",
        ) from error


def _read(body: bytes) -> Intent:
    record: dict[str, Any] = json.loads(zlib.decompress(body))
    if not isinstance(record, dict):
        raise TypeError("not an object")
    if unknown := record.keys() - _FIELDS:
        raise ValueError(f"unknown field {min(unknown)}")
    name, directory, kind = record["repo"]
    return Intent(
        Repo(name, "", directory, kind, ()),
        tuple(
            ReadyPublication(name, identity, (), (), dict(facts), since=_read_since(*since))
            # One that an older agent wrote ends with the facts.
            for name, identity, facts, *since in record["publications"]
        ),
        tuple(record["names"]) if record["names"] is not None else None,
        tuple(
            LiveFile(path, publication, sha256, size, rank, Retained(retained), origin)
            for path, publication, sha256, size, rank, retained, origin in record["files"]
        ),
        tuple(record["leaving"]),
        tuple(record["withdrawn"]),
        # An older agent wrote the names of all.
        frozenset(record.get("ended", ())),
    )


def _write_since(since: Since | None) -> list[Any] | None:
    # What changed is in the list of files.
    return [since.identity, since.gone_content, since.gone_pointers] if since is not None else None


def _read_since(written: Sequence[Any] | None = None) -> Since | None:
    if written is None:
        return None
    identity, gone_content, gone_pointers = written
    return Since(identity, tuple(gone_content), tuple(gone_pointers))
