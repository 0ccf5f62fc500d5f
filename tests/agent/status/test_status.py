"""What is told of a mirror from its state database: read without touching it, whatever stands in it."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.status.bench import DAY_S as _DAY_S
from agent.status.bench import NOW as _NOW
from agent.status.bench import Bench, package_file, show
from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.entries import Refusal, StoredFile
from packrat_agent.model.records import Rejection, Wanted
from packrat_agent.model.tree import LiveFile, ReadyPublication, UnsignedTree
from packrat_agent.state.rejections import MIRROR
from packrat_agent.state.store import Store
from packrat_agent.status.nagios import Level, Limit, Limits, judge, tell_unknown
from packrat_agent.status.prometheus import render_metrics
from packrat_agent.status.reading import TROUBLES_LIMIT, read_status
from packrat_agent.status.sync_report import show_summary
from packrat_agent.sync.context import Summary, SyncResult

_FIELDS = (
    *("pid", "host", "at", "version", "url", "up", "since", "reason", "began", "ended", "seconds", "files", "bytes"),
    *("of_files", "damaged", "foreign", "complete", "checked", "published", "held", "ahead", "error", "lag_s"),
    *("fingerprint", "algorithm", "bits", "expires", "refused", "behind_since", "reading", "new", "done", "of"),
)


def test_all_that_is_known_is_told(bench: Bench) -> None:
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


def test_the_last_events_are_told_in_their_order(bench: Bench) -> None:
    for number in range(5):
        bench.store.events.add(_NOW + number, "published", None, str(number))
    assert [event.text for event in read_status(bench.config, 2).events] == ["3", "4"]


def test_a_new_state_database_is_told(bench: Bench) -> None:
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


def test_what_is_not_committed_is_not_told_and_nobody_waits(bench: Bench) -> None:
    with bench.store._db.transaction() as db:
        db.execute("UPDATE files SET state = 'refused', reason = 'x'")
        assert bench.read().repos[0].refused == 1
    assert bench.read().repos[0].refused == 4


def test_many_troubles_are_counted_and_some_are_listed(bench: Bench) -> None:
    files = tuple(package_file(number) for number in range(TROUBLES_LIMIT + 10))
    bench.store.wanted.remember_wanted("apt-dev", Wanted(frozenset(f.uri for f in files), files, ()), None)
    bench.store.wanted.refuse("apt-dev", [Refusal(file, "torn") for file in files])
    status = bench.read()
    assert (len(status.troubles), status.troubles_total) == (TROUBLES_LIMIT, TROUBLES_LIMIT + 10)
    assert f"and {TROUBLES_LIMIT + 10 - 20} more" in show(status)


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
def test_whatever_stands_in_the_settings_is_told_or_left_out(values: dict[str, object]) -> None:
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


def test_all_good_is_ok(bench: Bench) -> None:
    bench.say_good()
    level, line = bench.verdict()
    assert level is Level.OK
    assert line.startswith("PACKRAT OK - 1 repository, 2 live, server up, last full sync 100 s ago | ")


@pytest.mark.parametrize(
    ("name", "value", "level", "text"),
    [
        ("server", {"up": False, "since": _NOW - 301, "reason": "refused"}, Level.WARNING, "away for 5 min: refused"),
        ("server", {"up": False, "since": _NOW - 3601}, Level.CRITICAL, "away for 60 min"),
        ("server", {"up": False, "since": _NOW - 299}, Level.OK, "away for a moment,"),
        ("server", {"up": False, "since": _NOW - 9, "reason": "no psk"}, Level.OK, "away for a moment: no psk,"),
        ("login", {"refused": "400", "since": _NOW - 9}, Level.WARNING, "the mirror is read without a login: 400"),
        ("login", {"refused": None, "since": _NOW - 9}, Level.OK, "server up"),
        ("full_pass", {"ended": _NOW - 2651, "seconds": 50}, Level.OK, "last full sync"),
        ("full_pass", {"ended": _NOW - 2751, "seconds": 50}, Level.WARNING, "the last full sync ended 46 min ago"),
        ("full_pass", {"ended": _NOW - 9051, "seconds": 50}, Level.CRITICAL, "the last full sync ended 3 h ago"),
        ("full_pass", {}, Level.WARNING, "no full sync has ended in 83 min"),
        ("full_pass", {"ended": _NOW - 9, "seconds": 900}, Level.OK, "last full sync"),
        ("full_pass", {"ended": _NOW - 9, "seconds": 901}, Level.WARNING, "15 min, longer than full_sync_interval"),
        ("repo", {"ahead": "is of 2027"}, Level.CRITICAL, "1 repository dated ahead: apt-dev (is of 2027)"),
        ("repo", {"held": "offers nothing"}, Level.WARNING, "1 repository held back: apt-dev (offers nothing)"),
        ("repo", {"error": "no room"}, Level.CRITICAL, "1 repository can't be built: apt-dev (no room)"),
        ("repo", {"behind_since": _NOW - 61}, Level.WARNING, "behind the server: apt-dev by 61 s"),
        ("repo", {"behind_since": _NOW - 7300}, Level.CRITICAL, "behind the server: apt-dev by 2 h"),
        ("repo", {"behind_since": None, "lag_s": 7300}, Level.OK, "lag=0s;"),
        ("repo", {"behind_since": _NOW + 99}, Level.OK, "lag=0s;"),
        ("key", {"fingerprint": "A", "expires": _NOW + 29 * _DAY_S}, Level.WARNING, "the signing key expires in 29 d"),
        ("key", {"fingerprint": "A", "expires": _NOW + 6 * _DAY_S}, Level.CRITICAL, "the signing key expires in 6 d"),
        ("key", {"fingerprint": "A", "expires": _NOW - 9}, Level.CRITICAL, "the signing key expired 9.0 s ago"),
        ("key", {"fingerprint": "A", "expires": None}, Level.OK, ""),
        *(
            ("key", {f"{which}_expires": at, which: "B"}, level, f"the signing key: the {which} key{said}")
            for which in ("next", "former")
            for at, level, said in (
                (_NOW + 29 * _DAY_S, Level.WARNING, " expires in 29 d; see `packrat-agent key rotate`"),
                (_NOW + 6 * _DAY_S, Level.CRITICAL, " expires in 6 d; see `packrat-agent key rotate`"),
                (_NOW - 9, Level.WARNING, " B of the rotation expired on"),
            )
        ),
        ("key", {"fingerprint": None}, Level.OK, ""),
        ("failure", {"at": _NOW, "reason": "no room"}, Level.CRITICAL, "the agent can't work: no room"),
        ("config_error", {"at": _NOW, "reason": "line 3"}, Level.WARNING, "can't be used: line 3"),
    ],
)
def test_each_fault_has_its_level(bench: Bench, name: str, value: dict[str, object], level: Level, text: str) -> None:
    bench.say_good()
    bench.be_held_elsewhere()
    bench.say(**{name: value})
    told = bench.verdict()
    assert told[0] is level
    assert text in told[1]


def test_a_root_dir_without_the_files_of_the_mirror_is_told_also_where_a_timer_syncs(bench: Bench) -> None:
    bench.say_good()
    root = bench.config.mirror.root_dir
    assert bench.verdict()[0] is Level.OK
    mark = root / AGENT_DIR / "mark"
    for undo, told in (
        (mark.unlink, f"root_dir {root} does not hold the files of this mirror"),
        (mark.parent.rmdir, f"root_dir {root} does not hold the files of this mirror"),
        (root.rmdir, f"root_dir {root} is not there"),
        (root.touch, f"root_dir {root} is not there"),
    ):
        undo()
        level, line = bench.verdict()
        assert (level, told in line, "is its filesystem mounted?" in line) == (Level.CRITICAL, True, True), line
        assert f"\n! {told}" in show(bench.read())
        assert json.loads(bench.read().as_json())["root_lost"].startswith(told)
        assert b"\npackrat_agent_failing 1.0\n" in render_metrics(bench.read())
    with bench.store._db.transaction() as db:
        db.execute("UPDATE files SET state = 'wanted'")
    assert bench.read().root_lost is None


def test_a_server_that_is_reached_by_plain_http_is_a_warning_unless_that_is_allowed(bench: Bench) -> None:
    bench.say_good()
    assert "unencrypted" not in show(bench.read())
    assert json.loads(bench.read().as_json())["server"]["plain_http"] is None
    bench.configure("packrat.example.com")
    told = "the agent reaches http://packrat.example.com unencrypted"
    level, line = bench.verdict()
    assert (level, told in line) == (Level.WARNING, True), line
    assert f"\n! {told}" in show(bench.read())
    assert told in json.loads(bench.read().as_json())["server"]["plain_http"]
    assert bench.verdict(allow_plain_http=True)[0] is Level.OK
    assert b"\npackrat_agent_plain_http 1.0\n" in render_metrics(bench.read())


def test_files_that_were_left_out_a_full_disk_and_a_stopped_agent_have_their_levels(bench: Bench) -> None:
    bench.say_good()
    level, line = bench.verdict(refused=Limit(1))
    assert level is Level.WARNING
    assert (
        "left out apt-dev: pkg2_1_amd64.deb (no control file), apt-dev: pkg3_1_amd64.deb (HTTP 404), 2 in all" in line
    )
    assert bench.verdict(refused=Limit(2))[0] is Level.OK
    assert bench.verdict(disk_percent=Limit(100.1))[0] is Level.WARNING
    assert bench.verdict(disk_percent=Limit(0, 100.1))[0] is Level.CRITICAL
    assert bench.verdict(allow_stopped=False)[0] is Level.CRITICAL


def test_a_server_that_is_away_is_told_beside_whatever_else_is_wrong(bench: Bench) -> None:
    bench.say_good()
    assert "away" not in bench.verdict(refused=Limit(1))[1]
    bench.say(server={"up": False, "since": _NOW - 30, "reason": "r" * 9000}, repo={"error": "e" * 9000})
    assert "; server away when last asked: rrr" in bench.verdict(refused=Limit(1), away_s=Limit(60))[1]
    assert "; server away when last asked: rrr" in bench.verdict(allow_stopped=False)[1]
    bench.be_held_elsewhere()
    assert "; server away for a moment: rrr" in bench.verdict(refused=Limit(1))[1]
    told = bench.verdict(refused=Limit(1), away_s=Limit(20))[1]
    assert told.count("away for") == 1
    assert "the packrat server has been away for 30 s: rrr" in told


def test_a_server_that_was_away_when_a_timer_last_asked_is_a_warning(bench: Bench) -> None:
    bench.say_good()
    bench.say(server={"up": False, "since": _NOW - 301, "reason": "refused"})
    level, line = bench.verdict()
    assert (level, "away for 5 min: refused" in line) == (Level.WARNING, True), line


def _publish(store: Store, now: float, *files: tuple[str, int, int]) -> None:
    """Publish files of (path, size, inode)."""
    repo = store.wanted.repos()[0]
    written = tuple(StoredFile(path, "a" * 64, size, 1, inode) for path, size, inode in files)
    intended = [LiveFile(path, "s", "a" * 64, size) for path, size, _ in files]
    store.live.begin(repo.name, intended)
    publication = ReadyPublication("s", str(now), (), (), {})
    store.live.finish(UnsignedTree(repo, (publication,), ("s",)), intended, written, now)


def test_what_old_indexes_hold_is_told_and_has_a_bound(bench: Bench) -> None:
    bench.say_good()
    bench.be_held_elsewhere()
    _publish(bench.store, _NOW - 3, ("apt-dev/a", 3 << 40, 1), ("apt-dev/b", 5, 2))
    assert bench.read().repos[0].old_index_bytes == 0
    # One file under two names; and one that the index in force has under another name.
    _publish(bench.store, _NOW - 2, ("apt-dev/same-as-a", 3 << 40, 1), ("apt-dev/c", 5 << 40, 3))
    _publish(bench.store, _NOW - 1, ("apt-dev/still-c", 5 << 40, 3))
    status = bench.read()
    assert (status.repos[0].old_generations, status.repos[0].old_index_bytes) == (2, (3 << 40) + 5)
    assert "2, 3.0 TiB" in show(status)
    figures = render_metrics(status).decode()
    assert 'packrat_agent_repo_old_generations{repo="apt-dev"} 2.0' in figures
    level, line = bench.verdict(old_index_percent=Limit(0.001))
    assert (level, "earlier indexes hold 3.0 TiB" in line) == (Level.WARNING, True), line
    assert f"old_indexes={(3 << 40) + 5}B" in line
    assert bench.verdict(old_index_percent=Limit())[0] is Level.OK


def test_records_that_can_not_be_used_are_told_until_they_can(bench: Bench) -> None:
    bench.say_good()
    bench.be_held_elsewhere()
    bench.store.rejections.note(MIRROR, [Rejection("/r/other", "no directory")])
    level, line = bench.verdict()
    assert (level, "1 record of the mirror can't be used: /r/other (no directory)" in line) == (Level.CRITICAL, True)
    assert "! rejected /r/other: no directory" in show(bench.read())
    bench.store.rejections.note(MIRROR, [])
    bench.store.rejections.note("apt-dev", [Rejection("/f/8", "no sha256"), Rejection("/f/9", "no type")])
    assert bench.read().troubles_total == 4
    assert bench.verdict(refused=Limit(3))[0] is Level.WARNING
    # A look at one of them says nothing of the other.
    bench.store.rejections.note("apt-dev", [], ["/f/8"])
    assert [(one.state, one.file) for one in bench.read().troubles if one.state == "rejected"] == [("rejected", "/f/9")]
    bench.store.rejections.note("apt-dev", [])
    assert bench.verdict()[0] is Level.OK


def test_the_worst_comes_first(bench: Bench) -> None:
    bench.say_good()
    bench.be_held_elsewhere()
    bench.say(repo={"held": "h", "error": "e"}, server={"up": False, "since": _NOW - 400})
    level, line = bench.verdict()
    assert level is Level.CRITICAL
    assert line.index("can't be built") < min(line.index("held back"), line.index("away for"))


def test_as_json_it_has_the_same_level_line_and_figures(bench: Bench) -> None:
    bench.say_good()
    bench.say(repo={"held": "h", "error": "e"})
    verdict = judge(read_status(bench.config, now=_NOW), Limits())
    told = json.loads(verdict.as_json())
    assert (told["level"], told["code"], told["line"]) == (verdict.level.name, int(verdict.level), verdict.line)
    levels = [finding["level"] for finding in told["findings"]]
    assert levels == sorted(levels, key=["CRITICAL", "WARNING"].index)
    assert len(levels) > 1
    for figure in told["figures"]:
        assert f"{figure['name']}={figure['value']:g}" in verdict.line
    assert json.loads(tell_unknown("no state").as_json())["findings"] == [{"level": "UNKNOWN", "text": "no state"}]


def test_a_long_line_is_cut() -> None:
    assert len(tell_unknown("x" * 10_000).line) < 2100


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
def test_work_under_way_is_told(bench: Bench, work: dict[str, object], text: str, pending: int) -> None:
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
