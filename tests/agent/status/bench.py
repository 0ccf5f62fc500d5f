"""A state database to be read, and what the agent may have written in it."""

import io
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from packrat_agent.config.load import load
from packrat_agent.config.settings import AGENT_DIR, Config
from packrat_agent.model.entries import Refusal
from packrat_agent.model.records import DistroVersion, PackageFile, Repo, Wanted
from packrat_agent.state.store import Store
from packrat_agent.status.nagios import Level, Limit, Limits, judge
from packrat_agent.status.reading import read_status
from packrat_agent.status.table import show_status
from packrat_agent.status.values import Status
from support.mirror_conf import write_mirror_conf

NOW = 1_800_000_000.0
DAY_S = 86400


def package_file(number: int) -> PackageFile:
    """A package file of the repository, by its number."""
    name = f"pkg{number}_1_amd64.deb"
    return PackageFile(
        f"/f/{number}", "pkg", "bookworm", "1", "deb", "amd64", f"http://x/{name}", name, f"{number:064x}"
    )


class Bench:
    """A state database with one repository of four files: two live, one refused, one that failed."""

    def __init__(self, directory: Path) -> None:
        (directory / "www" / AGENT_DIR).mkdir(parents=True)
        (directory / "www" / AGENT_DIR / "mark").touch()
        self._directory = directory
        self.configure("https://packrat.example.com")
        self.store = Store(self.config.mirror.state_db)
        self.store.repos.save([Repo("apt-dev", "", "apt-dev", "apt", (DistroVersion("b", "d", "12", "deb"),))])
        files = tuple(package_file(number) for number in range(4))
        self.store.wanted.remember_wanted("apt-dev", Wanted(frozenset(f.uri for f in files), files, ()), None)
        self.store.wanted.refuse("apt-dev", [Refusal(files[2], "no control file")])
        self.store.wanted.note_trouble("apt-dev", [Refusal(files[3], "HTTP 404")], ())
        with sqlite3.connect(self.config.mirror.state_db) as db:
            db.execute("UPDATE files SET state = 'live' WHERE uri IN ('/f/0', '/f/1')")
        db.close()

    def configure(self, host: str) -> None:
        """Take a server, by the `host` of mirror.conf."""
        self.config: Config = load(write_mirror_conf(self._directory, host, name="prod"))

    def say(self, **values: Any) -> None:
        """Set facts as version 0.1.0 wrote them; `repo` and `work` are those of apt-dev."""
        names = {"repo": "repo:apt-dev", "work": "work:apt-dev"}
        rows = [(names.get(name, name), json.dumps(value)) for name, value in values.items()]
        with self.store._db.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", rows)

    def say_good(self) -> None:
        """All is well, and the agent runs."""
        self.say(
            started={"pid": os.getpid(), "host": "here", "at": NOW - 5000, "version": "1.2"},
            server={"url": "http://packrat.example.com", "up": True, "since": NOW - 4000, "reason": ""},
            full_pass={
                **{"began": NOW - 150, "ended": NOW - 100, "seconds": 50.0, "files": 7, "bytes": 4096},
                **{"damaged": 0, "foreign": 0, "complete": True},
            },
            scan={"began": NOW - 10, "files": 3, "bytes": 1024, "of_files": 7},
            repo={"checked": NOW - 5, "published": NOW - 60, "held": None, "error": None, "behind_since": NOW - 3},
            key={"fingerprint": "A" * 40, "algorithm": "ed25519", "bits": 255, "expires": NOW + 400 * DAY_S},
        )
        self.store.events.add(NOW - 60, "published", "apt-dev", "2 added")
        self.store.events.add(NOW - 50, "checked", None, "50 s")

    def be_held_elsewhere(self) -> None:
        """Let the holder be a process of another host."""
        state_db = self.config.mirror.state_db
        state_db.with_name(state_db.name + ".lock.holder").write_text('{"pid": 7, "host": "other"}')

    def read(self) -> Status:
        """The status at the set time."""
        return read_status(self.config, 10, NOW)

    def verdict(self, **limits: object) -> tuple[Level, str]:
        """Judge without the two files that were left out, and without this machine's disk."""
        given: dict[str, object] = {"refused": Limit(), "disk_percent": Limit(), "allow_stopped": True, **limits}
        verdict = judge(self.read(), Limits(**given))  # type: ignore[arg-type]
        return verdict.level, verdict.line


def show(status: Status) -> str:
    """What `packrat-agent status` prints."""
    stream = io.StringIO()
    show_status(status, stream)
    return stream.getvalue()
