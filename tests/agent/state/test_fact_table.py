"""Facts are values: they come back as written, in the JSON of version 0.1.0; odd JSON is read as far as it goes."""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.publish.scan_slices import UntrackedRest
from packrat_agent.state.fact_table import FactsRead
from packrat_agent.state.facts import (
    Fact,
    FailedStart,
    Failure,
    KeyInUse,
    LastFullSync,
    LoginRefusal,
    RefusedConfig,
    RepoHealth,
    RetentionTime,
    ScanProgress,
    ScanRound,
    SealedList,
    ServerHealth,
    Started,
    SteadyTime,
    TakeoverUnderWay,
    TrustedRecords,
)
from packrat_agent.state.store import Store

# As version 0.1.0 wrote them; `records`, `scan_round`, `sealed`, `steady_time`, `retention_time` and `untracked_rest`
# came later.
OLD: dict[str, tuple[dict[str, object], Fact]] = {
    "started": ({"pid": 7, "host": "h", "at": 1.5, "version": "0.1.0"}, Started(7, "h", 1.5, "0.1.0")),
    "server": (
        {"url": "http://x", "up": False, "since": 2.5, "reason": "refused"},
        ServerHealth("http://x", False, 2.5, "refused"),
    ),
    "login": ({"refused": "400", "since": 3.5}, LoginRefusal("400", 3.5)),
    "failed_start": ({"at": 4.5, "reason": "no key"}, FailedStart(4.5, "no key")),
    "failure": ({"at": 4.5, "reason": "disk full"}, Failure(4.5, "disk full")),
    "config_error": ({"at": 5.5, "reason": "line 3"}, RefusedConfig(5.5, "line 3")),
    "full_pass": (
        {
            **{"began": 1.0, "ended": 2.0, "seconds": 1.0, "files": 3, "bytes": 4},
            **{"damaged": 5, "foreign": 6, "complete": True},
        },
        LastFullSync(1.0, 2.0, 1.0, 3, 4, 5, 6, True),
    ),
    "takeover": ({"began": 6.5, "original": "/s.original"}, TakeoverUnderWay(6.5, "/s.original")),
    "sealed": ({"text": "a", "file": "b", "by": "c"}, SealedList("a", "b", "c")),
    "scan": ({"began": 1.0, "files": 2, "bytes": 3, "of_files": 4}, ScanProgress(1.0, 2, 3, 4)),
    "scan_round": (
        {"began": 1.0, "ended": 2.0, "position": "apt/pool/x", "bytes": 3},
        ScanRound(1.0, 2.0, "apt/pool/x", 3),
    ),
    "untracked_rest": ({"first": "apt/pool/x"}, UntrackedRest("apt/pool/x")),
    "records": ({"since": 6.5, "server": "http://x"}, TrustedRecords(6.5, "http://x")),
    "steady_time": (
        {"at": 1.5, "boot": "b", "running": 2.5, "wall": 3.5},
        SteadyTime(1.5, "b", 2.5, 3.5),
    ),
    "retention_time": (
        {"at": 1.5, "wall": 2.5, "boot": "b", "since": 3.5, "ahead": 4.5},
        RetentionTime(1.5, 2.5, "b", 3.5, 4.5),
    ),
    "key": ({"fingerprint": "A", "algorithm": "rsa", "bits": 4096, "expires": None}, KeyInUse("A", "rsa", 4096, None)),
}

_OF_A_ROTATION = (
    *("phase", "next", "next_expires", "former", "former_expires", "silent", "retired"),
    *("offered_at", "switched_at", "retired_at", "kept_packages"),
)
NEWER: dict[str, dict[str, object]] = {"key": dict.fromkeys(("stale", "unused", *_OF_A_ROTATION))}
NEWER["started"] = {"config": None}
NEWER["server"] = {"answered": None}
"""Fields that came later."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def stored(store: Store, name: str) -> object:
    [(text,)] = store._db.rows("SELECT value FROM settings WHERE name = ?", (name,))
    return json.loads(text)


def put(store: Store, name: str, text: str) -> None:
    with store._db.transaction() as db:
        db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, text))


def test_each_kind_of_fact_is_among_the_samples() -> None:
    assert set(OLD) == {kind.NAME for kind in Fact.__subclasses__()}


@pytest.mark.parametrize("name", OLD)
def test_a_fact_has_the_name_and_keys_of_the_first_version(store: Store, name: str) -> None:
    values, fact = OLD[name]
    put(store, name, json.dumps(values))
    assert store.facts.read(type(fact)) == fact
    store.facts.drop(type(fact))
    assert store.facts.read(type(fact)) is None
    store.facts.write(fact)
    assert stored(store, name) == {**values, **NEWER.get(name, {})}


def test_facts_of_a_repository_change_field_by_field(store: Store) -> None:
    put(store, "repo:apt-dev", json.dumps({"checked": 1.0, "held": "too much", "error": None}))
    store.facts.update_repo("apt-dev", behind_since=0.5)
    store.facts.update_repo("other", error="torn")
    facts = FactsRead(store._db._connection)
    assert facts.repo("apt-dev") == RepoHealth(checked=1.0, held="too much", behind_since=0.5)
    assert facts.repo("other") == RepoHealth(error="torn")
    store.facts.update_repo("apt-dev", held=None)
    assert FactsRead(store._db._connection).repo("apt-dev") == RepoHealth(checked=1.0, behind_since=0.5)
    assert facts.repo("no-such") == RepoHealth()


def test_a_repository_is_behind_until_the_oldest_change_is_published(store: Store) -> None:
    def behind_since() -> float | None:
        return FactsRead(store._db._connection).repo("apt-dev").behind_since

    store.facts.note_caught_up("apt-dev")
    assert behind_since() is None
    for heard_at in (3.0, 2.0, 4.0):
        store.facts.note_behind("apt-dev", heard_at)
    store.facts.note_caught_up("apt-dev", 3.0)
    assert behind_since() == 2.0, "of what was heard of at 2.0, nothing is published yet"
    store.facts.note_caught_up("apt-dev", 2.0)
    assert behind_since() is None
    store.facts.note_behind("apt-dev", 5.0)
    store.facts.note_caught_up("apt-dev")
    assert behind_since() is None


def test_a_server_keeps_its_since_until_it_changes(store: Store) -> None:
    def since() -> float | None:
        health = store.facts.read(ServerHealth)
        return health.since if health is not None else None

    store.facts.note_server("http://x", 1.0)
    store.facts.note_server("http://x", 2.0)
    assert since() == 1.0
    store.facts.note_server("http://x", 3.0, "refused")
    store.facts.note_server("http://x", 4.0, "reset")
    assert since() == 3.0
    assert store.facts.read(ServerHealth) == ServerHealth("http://x", False, 3.0, "reset", answered=True)
    store.facts.note_server("http://x", 5.0)
    assert since() == 5.0


def test_whether_a_server_has_answered_begins_anew_with_each_start(store: Store) -> None:
    def read() -> tuple[bool | None, bool | None]:
        health = store.facts.read(ServerHealth)
        assert health is not None
        return health.up, health.answered

    store.facts.note_server("http://x", 1.0, "refused")
    assert read() == (False, None)
    store.facts.expect_server("http://x")
    assert read() == (False, False)
    store.facts.note_server("http://x", 2.0)
    assert read() == (True, True)
    store.facts.expect_server("http://x")
    store.facts.note_server("http://x", 3.0, "refused")
    assert read() == (False, False)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from([type(fact) for _, fact in OLD.values()]), st.data())
@settings(max_examples=200, deadline=None)
def test_an_odd_field_is_unknown_and_spoils_no_other(kind: type[Fact], data: st.DataObject) -> None:
    odd = data.draw(st.dictionaries(st.sampled_from([field.name for field in fields(kind)]), _JSON, min_size=1))
    good = {**OLD[kind.NAME][0], **NEWER.get(kind.NAME, {})}
    put(_SHARED, kind.NAME, json.dumps({**good, "unknown": 1, **odd}))
    found = _SHARED.facts.read(kind)
    assert found is not None
    for name, value in asdict(found).items():
        assert name in odd or value == good[name]
        assert value is None or type(value) in (str, bool, int, float)
        if type(value) in (int, float):
            assert abs(value) < 1e18
        if value is not None and name in odd and not isinstance(value, int | float):
            assert value == odd[name]


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "7", "{}", "[" * 100_000, '{"pid": 1e400}'])
def test_a_malformed_fact_reads_as_none(store: Store, text: str) -> None:
    put(store, "started", text)
    found = store.facts.read(Started)
    assert found is None or (found.pid, found.at) == (None, None)
    assert FactsRead(store._db._connection).read(Started) == found


def test_a_flag_is_not_a_number_and_an_empty_object_is_not_a_fact(store: Store) -> None:
    for text, fact in (('{"at": true, "reason": "full"}', Failure(None, "full")), ("{}", None)):
        with store._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES ('failure', ?)", (text,))
        assert store.facts.read(Failure) == fact


@pytest.fixture(scope="module", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    global _SHARED  # noqa: PLW0603 hypothesis takes no function-scoped fixture
    _SHARED = Store(tmp_path_factory.mktemp("shared") / "state.db")
    yield
    _SHARED.close()


_SHARED: Store
