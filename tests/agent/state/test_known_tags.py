"""The tags that choose keys: of names and of directories, each for itself, never forgotten and not without end."""

import sqlite3
from dataclasses import replace
from pathlib import Path

from packrat_agent.model.records import Repo
from packrat_agent.state.database import Database, migrations
from packrat_agent.state.known_tags import KnownTags

PROD = Repo("apt-prod", "", "apt-prod", "apt", (), tag="prod")
MOVED = replace(PROD, directory="elsewhere")
DEV = Repo("apt-dev", "", "apt-prod", "apt", (), tag="dev")


def test_a_name_and_a_directory_each_keep_their_tag(tmp_path: Path) -> None:
    tags = KnownTags(Database(tmp_path / "state.db"))
    assert tags.of(PROD) == frozenset()
    tags.note([PROD])
    tags.note([MOVED])
    assert tags.of(DEV) == {"prod"}
    tags.note([DEV])
    # The directory is that of dev now, the name still that of prod.
    assert tags.of(replace(PROD, name="other")) == {"dev"}
    assert tags.of(replace(PROD, directory="new")) == {"prod"}
    tags.note([replace(PROD, tag="")])
    assert tags.of(PROD) == {"prod", "dev"}


def test_known_tags_stay_when_there_is_no_room_for_more(tmp_path: Path) -> None:
    tags = KnownTags(Database(tmp_path / "state.db"), limit=3)
    tags.note([PROD])
    other = Repo("other", "", "other", "apt", (), tag="dev")
    assert (tags.can_remember(PROD), tags.can_remember(MOVED), tags.can_remember(other)) == (True, True, False)
    tags.note([MOVED, other])
    assert tags.of(PROD) == tags.of(MOVED) == {"prod"}
    assert tags.of(other) == frozenset()
    assert not tags.can_remember(replace(MOVED, directory="third"))
    tags.note([replace(MOVED, tag="stage")])
    assert tags.of(MOVED) == {"stage"}


def test_the_tags_of_an_older_database_are_known(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    old = sqlite3.connect(path)
    for number, sql in migrations():
        if number <= 13:
            old.executescript(f"{sql}\nPRAGMA user_version = {number};")
    rows = [("apt-prod", "apt-prod", "prod"), ("left", "apt-left", "dev")]
    old.executemany("INSERT INTO known_tags (repo, directory, tag) VALUES (?, ?, ?)", rows)
    old.commit()
    old.close()
    tags = KnownTags(Database(path))
    assert tags.of(replace(DEV, name="new")) == {"prod"}
    assert tags.of(replace(PROD, directory="new")) == {"prod"}
    assert tags.of(Repo("left", "", "apt-left", "apt", ())) == {"dev"}
