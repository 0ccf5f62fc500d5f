"""What is told of a mirror from its state database: read without touching it, whatever stands in it."""

import json
import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.status.bench import NOW as _NOW
from agent.status.bench import Bench, package_file, show
from packrat_agent.model.entries import Refusal
from packrat_agent.model.records import Rejection, Wanted
from packrat_agent.status.nagios import Level, Limit, Limits, judge
from packrat_agent.status.prometheus import render_metrics
from packrat_agent.status.reading import TROUBLES_LIMIT, read_status
from packrat_agent.status.sync_report import show_summary
from packrat_agent.sync.context import Summary, SyncResult

_FIELDS = (
    *("pid", "host", "at", "version", "url", "up", "since", "reason", "began", "ended", "seconds", "files", "bytes"),
    *("of_files", "damaged", "foreign", "complete", "checked", "published", "held", "ahead", "error", "lag_s"),
    *("fingerprint", "algorithm", "bits", "expires", "refused", "behind_since", "reading", "new", "done", "of"),
)


def test_all_that_is_known_is_reported(bench: Bench) -> None:
    bench.say_good()
    status = bench.read()
    [repo] = status.repos
    assert (repo.wanted, repo.live, repo.refused, repo.pending) == (4, 2, 1, 1)
    assert (repo.published, repo.checked, repo.lag_s) == (_NOW - 60, _NOW - 5, 3)
    assert [(t.state, t.reason) for t in status.troubles] == [("refused", "no control file"), ("pending", "HTTP 404")]
    assert [event.word for event in status.events] == ["published", "checked"]
    assert status.full_pass is not None
    assert status.full_pass.files == 7
    shown = show(status)
    for part in (
        *("http://packrat.example.com", "A" * 40, "in 400 d", "apt-dev", "refused pkg2_1_amd64.deb: no control file"),
        *("failed pkg3_1_amd64.deb: HTTP 404", "published apt-dev 2 added", "ended 100 s ago, took 50 s"),
    ):
        assert part in shown, part
    assert not any(line.endswith(" ") for line in shown.splitlines())


def test_the_last_events_are_reported_in_their_order(bench: Bench) -> None:
    for number in range(5):
        bench.store.events.add(_NOW + number, "published", None, str(number))
    assert [event.text for event in read_status(bench.config, 2).events] == ["3", "4"]


def test_a_new_state_database_is_reported(bench: Bench) -> None:
    status = bench.read()
    assert (status.full_pass, status.scan, status.key, status.server.up) == (None, None, None, None)
    assert "none has ended yet" in show(status)
    assert json.loads(status.as_json())["repos"][0]["checked"] is None


def test_reading_leaves_nothing_behind(bench: Bench) -> None:
    bench.store.close()
    directory = bench.config.mirror.state_db.parent
    before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}
    assert set(before) == {"state.db"}
    moment = directory.stat().st_mtime_ns
    bench.read()
    assert {path.name: path.stat().st_mtime_ns for path in directory.iterdir()} == before
    assert directory.stat().st_mtime_ns == moment


def test_status_shows_only_committed_facts_and_waits_for_nobody(bench: Bench) -> None:
    with bench.store._db.transaction() as db:
        db.execute("UPDATE files SET state = 'refused', reason = 'x'")
        assert bench.read().repos[0].refused == 1
    assert bench.read().repos[0].refused == 4


def test_the_rows_of_all_files_are_read_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Traced(sqlite3.Connection):
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            self.set_trace_callback(asked.append)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Traced))
    bench.read()
    plans = [
        step
        for statement in asked
        if statement.startswith("SELECT")
        for *_, step in bench.store._db.rows(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert plans.count("SCAN files") == 1
    assert [step for step in plans if "files_by" in step and "SCAN" in step and "COVERING" not in step] == []


def test_many_troubles_are_counted_and_some_are_listed(bench: Bench) -> None:
    files = tuple(package_file(number) for number in range(TROUBLES_LIMIT + 10))
    bench.store.wanted.remember_wanted("apt-dev", Wanted(frozenset(f.uri for f in files), files, ()), None)
    bench.store.wanted.refuse("apt-dev", [Refusal(file, "torn") for file in files])
    status = bench.read()
    assert (len(status.troubles), status.troubles_total) == (TROUBLES_LIMIT, TROUBLES_LIMIT + 10)
    assert f"and {TROUBLES_LIMIT + 10 - 20} more" in show(status)


def test_files_that_are_not_live_are_not_held_in_memory(bench: Bench) -> None:
    """As during the first sync, or where the server gives none of them; the agent itself reads them for Prometheus."""
    files = tuple(package_file(number) for number in range(10 * TROUBLES_LIMIT))
    bench.store.wanted.remember_wanted("apt-dev", Wanted(frozenset(f.uri for f in files), files, ()), None)
    bench.store.wanted.refuse("apt-dev", [Refusal(file, f"torn {file.sha256}") for file in files[: len(files) // 2]])
    bench.read()
    tracemalloc.start()
    try:
        status = bench.read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    [repo] = status.repos
    assert (repo.live, repo.refused, repo.pending) == (0, len(files) // 2, len(files) // 2)
    assert peak < TROUBLES_LIMIT * 1000


def test_nothing_from_the_network_steers_the_terminal(bench: Bench) -> None:
    bench.store.wanted.refuse("apt-dev", [Refusal(package_file(2), "\x1b]0;gotcha\x07 [bold]\n! x\x9b31m")])
    bench.say(repo={"held": "\x1b[2J"}, server={"up": False, "since": _NOW, "reason": "a\nb|c\x1b"})
    bench.be_held_elsewhere()
    shown = show(bench.read())
    assert not set("\x1b\x07\x9b") & set(shown)
    assert "[bold]?! x?31m" in shown
    line = bench.verdict(away_s=Limit(-1))[1]
    assert line.isprintable()
    assert line.count("|") == 1


def test_no_name_or_reason_in_the_summary_of_a_sync_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "x\x1b]0;gotcha\x07\n! y\x9b31m"
    refusal, rejection = Refusal(replace(package_file(2), file_name=evil), evil), Rejection(evil, evil)
    result = SyncResult(evil, added=[evil], removed=[evil], refused=[refusal], rejected=[rejection], held=evil)
    result.failed = [refusal]
    summary = Summary(syncs=[result], collected=[evil], errors={evil: evil}, rejected=[evil], unremembered=True)
    summary.losses, summary.changes, summary.notes, result.adopted = [evil], [evil], [evil], [evil]
    show_summary(summary, dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 16
    assert all(line.isprintable() for line in lines)


@given(
    st.dictionaries(
        st.sampled_from(["started", "server", "full_pass", "scan", "key", "login", "repo:apt-dev"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(_FIELDS),
                    inner,
                )
            ),
            max_leaves=12,
        ),
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_the_settings_is_reported_or_left_out(values: dict[str, object]) -> None:
    with _SHARED.store._db.transaction() as db:
        db.execute("DELETE FROM settings")
        for name, value in values.items():
            db.execute("INSERT INTO settings (name, value) VALUES (?, ?)", (name, json.dumps(value)))
    status = read_status(_SHARED.config, 3, _NOW)
    assert "prod" in show(status)
    assert json.loads(status.as_json())["mirror"] == "prod"
    assert judge(status, Limits()).line.startswith("PACKRAT ")
    assert b"packrat_agent_repo_files" in render_metrics(status)


@pytest.fixture(scope="module", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    global _SHARED  # noqa: PLW0603 hypothesis takes no function-scoped fixture
    _SHARED = Bench(tmp_path_factory.mktemp("shared"))
    yield
    _SHARED.store.close()


_SHARED: Bench


def test_the_time_is_read_where_none_is_given(bench: Bench) -> None:
    assert abs(read_status(bench.config).at - time.time()) < 600


@pytest.mark.parametrize(
    ("work", "text", "pending"),
    [
        ({"began": _NOW - 9, "reading": 4000, "new": 4000}, "reading 4,000 new records of apt-dev", 4001),
        ({"began": _NOW - 9, "reading": 4263, "new": 0}, "reading 4,263 known records again of apt-dev", 1),
        ({"began": _NOW - 9, "done": 812, "of": 4263}, "syncing apt-dev, 812 of 4,263", 1),
    ],
)
def test_work_under_way_is_reported(bench: Bench, work: dict[str, object], text: str, pending: int) -> None:
    bench.say_good()
    bench.be_held_elsewhere()
    bench.say(work=work)
    [repo] = bench.read().repos
    assert (repo.work, repo.pending, repo.wanted) == (text, pending, 3 + pending)
    assert f"at work    {text}\n" in show(bench.read())
    assert json.loads(bench.read().as_json())["repos"][0]["work"] == text
    level, line = bench.verdict()
    assert level is Level.OK
    assert f", {text}, held by other | " in line
    assert f" pending={pending} " in line
    bench.say(repo={"behind_since": _NOW - 65})
    level, line = bench.verdict()
    assert level is Level.WARNING
    assert f"behind the server: apt-dev by 65 s ({text})" in line


def test_the_notes_of_a_process_that_was_killed_are_not_work(bench: Bench) -> None:
    bench.say_good()
    bench.say(work={"began": _NOW - 9, "reading": 4000, "new": 4000})
    [repo] = bench.read().repos
    assert (repo.work, repo.unread, repo.pending) == (None, 0, 1)


def test_a_repository_with_a_change_outstanding_is_not_good(bench: Bench) -> None:
    bench.say_good()
    bench.store.wanted.note_trouble("apt-dev", [], ())
    with bench.store._db.transaction() as db:
        db.execute("UPDATE files SET state = 'live', reason = NULL")
    assert " behind\n" in show(bench.read())
    bench.say(repo={"checked": _NOW - 5, "behind_since": None})
    assert " good\n" in show(bench.read())
