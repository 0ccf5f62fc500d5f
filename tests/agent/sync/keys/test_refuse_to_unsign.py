"""A key that is lost from mirror.conf stops the agent where clients would lose signatures, and only there."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.model.records import Repo
from packrat_agent.state.facts import KeyInUse
from packrat_agent.state.store import Store
from packrat_agent.sync.keys.refuse_to_unsign import refuse_to_unsign
from packrat_core.errors import SigningError
from support.mirror_conf import write_mirror_conf


def look(directory: Path, kind: str, key: KeyInUse, mirror: str = "") -> None:
    """Look at a mirror of one published repository."""
    path = directory / "state.db"
    store = Store(path)
    store.repos.save([Repo("one", "", "one", kind, ())])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO publications (repo, name, identity, generation, facts, published_at) "
            "VALUES ('one', '', '', 1, '', 0)"
        )
    store.facts.write(key)
    try:
        refuse_to_unsign(load(write_mirror_conf(directory, root_dir=directory / "www", mirror=mirror)), store)
    finally:
        store.close()


def test_a_repository_that_was_signed_does_not_become_unsigned(tmp_path: Path) -> None:
    with pytest.raises(SigningError, match="names no gpg_sign_key for one, published with signatures"):
        look(tmp_path, "apt", KeyInUse("A" * 40))


@pytest.mark.parametrize(
    ("kind", "key", "mirror"),
    [
        ("pypi", KeyInUse("A" * 40), ""),
        ("apt", KeyInUse(None), ""),
        ("apt", KeyInUse("A" * 40), "gpg_sign_key: none\n"),
    ],
    ids=["never signed", "no key before", "declared"],
)
def test_nothing_is_refused_where_no_client_loses_a_signature(
    tmp_path: Path, kind: str, key: KeyInUse, mirror: str
) -> None:
    look(tmp_path, kind, key, mirror)
