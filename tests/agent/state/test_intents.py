"""What is being published is remembered as it is, from its begin to its end."""

import json
import sqlite3
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.model.tree import Intent, LiveFile, ReadyPublication, Retained, Since
from packrat_agent.state.intents import _read, _write
from packrat_agent.state.store import Store
from packrat_core.errors import ConfigError

REPO = Repo("apt-dev", "", "apt-dev", "apt", ())
_TEXT = st.text(max_size=20)
_TEXTS = st.lists(_TEXT, max_size=3).map(tuple)
_FILES = st.builds(
    LiveFile, _TEXT, _TEXT, _TEXT, st.integers(0, 1 << 50), st.integers(0, 9), st.sampled_from(Retained), _TEXT
)
_PUBLICATIONS = st.builds(
    ReadyPublication,
    _TEXT,
    _TEXT,
    st.just(()),
    st.just(()),
    st.dictionaries(_TEXT, _TEXT, max_size=3),
    # What changed, and what earlier versions published, is in the lists of files.
    st.just(()),
    st.none() | st.builds(Since, _TEXT, _TEXTS, _TEXTS),
)
_INTENTS = st.builds(
    Intent,
    st.builds(Repo, _TEXT, st.just(""), _TEXT, _TEXT, st.just(())),
    st.lists(_PUBLICATIONS, max_size=3).map(tuple),
    st.none() | _TEXTS,
    st.lists(_FILES, max_size=5).map(tuple),
    _TEXTS,
    _TEXTS,
    _TEXTS.map(frozenset),
)


@given(_INTENTS)
def test_an_intent_is_read_as_it_was_written(intent: Intent) -> None:
    read = _read(_write(intent))
    assert read == intent
    assert [of.since for of in read.publications] == [of.since for of in intent.publications]


def test_an_intent_of_an_agent_that_knew_no_differences_is_read() -> None:
    intent = Intent(REPO, (ReadyPublication("s", "identity", (), (), {"date": "1"}),), ("s",), (), (), ())
    record = json.loads(zlib.decompress(_write(intent)))
    record["publications"] = [of[:3] for of in record["publications"]]
    assert _read(zlib.compress(json.dumps(record).encode())) == intent


def test_an_intent_of_an_agent_that_named_all_publications_is_read() -> None:
    intent = Intent(REPO, (ReadyPublication("s", "identity", (), (), {}),), ("s", "t"), (), (), ())
    record = json.loads(zlib.decompress(_write(intent)))
    del record["ended"]
    assert _read(zlib.compress(json.dumps(record).encode())) == intent


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(later=1),
        lambda record: record.pop("files"),
        lambda record: record["publications"].append(["s"]),
        lambda record: record["publications"].append(["s", "identity", {}, ["identity", [], [], "later"]]),
        lambda record: record["publications"].append(["s", "identity", 5]),
        lambda record: record.update(names=5),
    ],
)
def test_an_intent_in_an_unknown_form_is_refused_in_words(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    """As after the agent was put back to an older version, which was cut off in a publication."""
    store = Store(tmp_path / "state.db")
    intent = Intent(REPO, (), ("s",), (), (), ())
    store.intents.begin(intent)
    body = _write(intent)
    record = json.loads(zlib.decompress(body))
    change(record)
    for other in (zlib.compress(json.dumps(record).encode()), zlib.compress(b"[]"), body[:-9]):
        with closing(sqlite3.connect(tmp_path / "state.db")) as db, db:
            db.execute("UPDATE intents SET body = ?", (other,))
        with pytest.raises(ConfigError, match=r"publication of apt-dev that was cut off.*; upgrade packrat-agent"):
            store.intents.cut_off()
    store.close()


def test_an_intent_exists_from_begin_to_end(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    file = LiveFile("apt-dev/dists/s/InRelease", "s", "a" * 64, 1, pointer_rank=1)
    publication = ReadyPublication("s", "identity", (), (), {"date": "1"})
    intent = Intent(REPO, (publication,), ("s",), (file,), ("apt-dev/old",), ("apt-dev/pool/gone",))
    store.intents.begin(intent)
    assert store.intents.cut_off() == store.intents.cut_off("apt-dev") == (intent,)
    assert store.intents.cut_off("other") == ()
    store.close()
    store = Store(tmp_path / "state.db")
    assert store.intents.cut_off() == (intent,)
    written = (StoredFile(file.path, file.sha256, 1, 2, 3),)
    store.intents.end(intent, written, time.time())
    assert store.intents.cut_off() == ()
    assert store.publications.identities("apt-dev") == {"s": "identity"}
    assert store.publications.facts("apt-dev") == {"s": {"date": "1"}}
    store.close()
