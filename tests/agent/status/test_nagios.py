"""What `check` says: each fault has its level, the worst comes first."""

import json

import pytest

from agent.status.bench import DAY_S as _DAY_S
from agent.status.bench import NOW as _NOW
from agent.status.bench import Bench, show
from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Rejection
from packrat_agent.model.tree import LiveFile, ReadyPublication, UnsignedTree
from packrat_agent.state.rejections import MIRROR
from packrat_agent.state.store import Store
from packrat_agent.status.nagios import Level, Limit, Limits, judge, tell_unknown
from packrat_agent.status.prometheus import render_metrics
from packrat_agent.status.reading import read_status


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
        ("server", {"up": False, "since": _NOW + 59}, Level.OK, "away for a moment,"),
        ("server", {"up": False, "since": _NOW + 61}, Level.WARNING, "since when is dated ahead of this host's clock"),
        ("server", {"up": False, "since": _NOW - 299}, Level.OK, "away for a moment,"),
        ("server", {"up": False, "since": _NOW - 9, "reason": "no psk"}, Level.OK, "away for a moment: no psk,"),
        ("login", {"refused": "400", "since": _NOW - 9}, Level.WARNING, "the mirror is read without a login: 400"),
        ("login", {"refused": None, "since": _NOW - 9}, Level.OK, "server up"),
        ("full_pass", {"ended": _NOW - 2651, "seconds": 50}, Level.OK, "last full sync"),
        ("full_pass", {"ended": _NOW - 2751, "seconds": 50}, Level.WARNING, "the last full sync ended 46 min ago"),
        ("full_pass", {"ended": _NOW - 9051, "seconds": 50}, Level.CRITICAL, "the last full sync ended 3 h ago"),
        ("full_pass", {"ended": _NOW + 59, "seconds": 50}, Level.OK, "last full sync"),
        ("full_pass", {"ended": _NOW + 61, "seconds": 50}, Level.WARNING, "the last full sync is dated ahead of"),
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


@pytest.mark.parametrize(
    ("server", "started", "limit", "level", "text"),
    [
        ({"up": False, "since": _NOW - 9}, 9, Limits().away_s, Level.WARNING, "away for 9.0 s, and has not answered"),
        ({"up": False, "since": _NOW - 3601}, 9, Limits().away_s, Level.CRITICAL, ", and has not answered since the"),
        ({"up": False, "since": _NOW - 9, "answered": True}, 9, Limits().away_s, Level.OK, "away for a moment"),
        ({"up": False, "since": _NOW - 9}, 9, Limit(), Level.OK, "away for a moment"),
        ({"up": None, "since": None}, 60, Limits().away_s, Level.OK, "server not seen yet"),
        ({"up": None, "since": None}, 61, Limits().away_s, Level.WARNING, "since the agent started 61 s ago"),
        ({"up": True, "since": _NOW - 9999}, 61, Limits().away_s, Level.WARNING, "has not answered since the agent"),
        ({"up": True, "since": _NOW - 9999}, 61, Limit(), Level.OK, "server up"),
    ],
)
def test_a_server_that_never_answered_since_the_start_is_told(
    bench: Bench, server: dict[str, object], started: int, limit: Limit, level: Level, text: str
) -> None:
    bench.say_good()
    bench.be_held_elsewhere()
    bench.say(
        server={"url": "https://packrat.example.com", "answered": False, "reason": "refused", **server},
        started={"pid": 7, "host": "other", "at": _NOW - started, "version": "1.2"},
    )
    told = bench.verdict(away_s=limit)
    assert told[0] is level, told[1]
    assert text in told[1]


def test_a_root_dir_without_the_files_of_the_mirror_is_reported_also_where_a_timer_syncs(bench: Bench) -> None:
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
        assert (level, told in line, "mount its filesystem" in line) == (Level.CRITICAL, True, True), line
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


def test_a_mirror_without_any_full_sync_is_a_warning(bench: Bench) -> None:
    level, line = bench.verdict()
    assert (level, "no full sync has ended yet" in line) == (Level.WARNING, True), line
    bench.say_good()
    assert bench.verdict()[0] is Level.OK


def test_a_server_that_is_away_is_reported_beside_whatever_else_is_wrong(bench: Bench) -> None:
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


def test_one_reason_of_two_faults_is_reported_once(bench: Bench) -> None:
    bench.say_good()
    bench.be_held_elsewhere()
    reason = "the server refuses the login"
    for ago_s, told in ((301, "away for 5 min"), (9, "away for a moment")):
        since = _NOW - ago_s
        bench.say(server={"up": False, "since": since, "reason": reason}, failure={"at": _NOW, "reason": reason})
        level, line = bench.verdict()
        assert level is Level.CRITICAL
        assert (line.count(reason), line.count(told)) == (1, 1), line


def test_a_server_that_was_away_when_a_timer_last_asked_is_a_warning(bench: Bench) -> None:
    bench.say_good()
    bench.say(server={"up": False, "since": _NOW - 301, "reason": "refused"})
    level, line = bench.verdict()
    assert (level, "away for 5 min: refused" in line) == (Level.WARNING, True), line


def _publish(store: Store, now: float, *files: tuple[str, int, int]) -> None:
    """Publish files of (path, size, inode)."""
    repo = store.repos.all()[0]
    written = tuple(StoredFile(path, "a" * 64, size, 1, inode) for path, size, inode in files)
    intended = [LiveFile(path, "s", "a" * 64, size) for path, size, _ in files]
    store.live.begin(repo.name, intended)
    publication = ReadyPublication("s", str(now), (), (), {})
    store.live.finish(UnsignedTree(repo, (publication,), ("s",)), intended, written, now)


def test_the_size_of_old_indexes_is_shown_and_has_a_limit(bench: Bench) -> None:
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


def test_records_that_can_not_be_used_are_reported_until_they_can(bench: Bench) -> None:
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
    assert [(trouble.state, trouble.file) for trouble in bench.read().troubles if trouble.state == "rejected"] == [
        ("rejected", "/f/9")
    ]
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
