"""What is told of a mirror from its state database: read without touching it, whatever stands in it."""

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.model.entries import Refusal, StoredFile
from packrat_agent.model.records import DistroVersion, PackageFile, Rejection, Repo, Wanted
from packrat_agent.model.tree import LiveFile, Published, ReadyPublication
from packrat_agent.state.rejections import MIRROR
from packrat_agent.state.store import Store
from packrat_agent.status.lock_holder import find_holder
from packrat_agent.status.nagios import Level, Limit, Limits, judge, tell
from packrat_agent.status.prometheus import render_metrics
from packrat_agent.status.reading import TROUBLES_LIMIT, read_status
from packrat_agent.status.sync_report import show_summary
from packrat_agent.status.table import show_status
from packrat_agent.status.values import AgentState, Status
from packrat_agent.sync.context import Summary, SyncResult
from packrat_core.errors import ConfigError, DiskError
from support.mirror_conf import write_mirror_conf

_NOW = 1_800_000_000.0
_DAY_S = 86400
_FIELDS = (
    *("pid", "host", "at", "version", "url", "up", "since", "reason", "began", "ended", "seconds", "files", "bytes"),
    *("of_files", "damaged", "foreign", "complete", "checked", "published", "held", "ahead", "error", "lag_s"),
    *("fingerprint", "algorithm", "bits", "expires", "refused", "behind_since", "reading", "new", "done", "of"),
)


def _file(number: int) -> PackageFile:
    name = f"pkg{number}_1_amd64.deb"
    return PackageFile(
        f"/f/{number}", "pkg", "bookworm", "1", "deb", "amd64", f"http://x/{name}", name, f"{number:064x}"
    )


class Bench:
    """A state database with one repository of four files: two live, one refused, one that failed."""

    def __init__(self, directory: Path) -> None:
        (directory / "www").mkdir()
        self.config: Config = load(write_mirror_conf(directory, name="prod"))
        self.store = Store(self.config.mirror.state_db)
        self.store.wanted.save_repos([Repo("apt-dev", "", "apt-dev", "apt", (DistroVersion("b", "d", "12", "deb"),))])
        files = tuple(_file(number) for number in range(4))
        self.store.wanted.remember_wanted("apt-dev", Wanted(frozenset(f.uri for f in files), files, ()), None)
        self.store.wanted.refuse("apt-dev", [Refusal(files[2], "no control file")])
        self.store.wanted.note_trouble("apt-dev", [Refusal(files[3], "HTTP 404")], ())
        with sqlite3.connect(self.config.mirror.state_db) as db:
            db.execute("UPDATE files SET state = 'live' WHERE uri IN ('/f/0', '/f/1')")
        db.close()

    def say(self, **values: Any) -> None:
        """Set facts as version 0.1.0 wrote them; `repo` and `work` are those of apt-dev."""
        names = {"repo": "repo:apt-dev", "work": "work:apt-dev"}
        rows = [(names.get(name, name), json.dumps(value)) for name, value in values.items()]
        with self.store._db.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", rows)

    def say_good(self) -> None:
        """All is well, and the agent runs."""
        self.say(
            started={"pid": os.getpid(), "host": "here", "at": _NOW - 5000, "version": "1.2"},
            server={"url": "http://packrat.example.com", "up": True, "since": _NOW - 4000, "reason": ""},
            full_pass={
                **{"began": _NOW - 150, "ended": _NOW - 100, "seconds": 50.0, "files": 7, "bytes": 4096},
                **{"damaged": 0, "foreign": 0, "complete": True},
            },
            scan={"began": _NOW - 10, "files": 3, "bytes": 1024, "of_files": 7},
            repo={"checked": _NOW - 5, "published": _NOW - 60, "held": None, "error": None, "behind_since": _NOW - 3},
            key={"fingerprint": "A" * 40, "algorithm": "ed25519", "bits": 255, "expires": _NOW + 400 * _DAY_S},
        )
        self.store.events.add(_NOW - 60, "published", "apt-dev", "2 added")
        self.store.events.add(_NOW - 50, "checked", None, "50 s")

    def be_held_elsewhere(self) -> None:
        """Let the holder be a process of another host."""
        state_db = self.config.mirror.state_db
        state_db.with_name(state_db.name + ".lock.holder").write_text('{"pid": 7, "host": "other"}')

    def read(self) -> Status:
        """The status at the set time."""
        return read_status(self.config, 10, _NOW)

    def verdict(self, **limits: object) -> tuple[Level, str]:
        """Judge without the two files that were left out, and without this machine's disk."""
        given: dict[str, object] = {"refused": Limit(), "disk_percent": Limit(), "allow_stopped": True, **limits}
        verdict = judge(self.read(), Limits(**given))  # type: ignore[arg-type]
        return verdict.level, verdict.line


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def _shown(status: Status) -> str:
    stream = io.StringIO()
    show_status(status, stream)
    return stream.getvalue()


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
    shown = _shown(status)
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
    assert "none has ended yet" in _shown(status)
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
    files = tuple(_file(number) for number in range(TROUBLES_LIMIT + 10))
    bench.store.wanted.remember_wanted("apt-dev", Wanted(frozenset(f.uri for f in files), files, ()), None)
    bench.store.wanted.refuse("apt-dev", [Refusal(file, "torn") for file in files])
    status = bench.read()
    assert (len(status.troubles), status.troubles_total) == (TROUBLES_LIMIT, TROUBLES_LIMIT + 10)
    assert f"and {TROUBLES_LIMIT + 10 - 20} more" in _shown(status)


def test_nothing_from_the_network_steers_the_terminal(bench: Bench) -> None:
    bench.store.wanted.refuse("apt-dev", [Refusal(_file(2), "\x1b]0;gotcha\x07 [bold]\n! x\x9b31m")])
    bench.say(repo={"held": "\x1b[2J"}, server={"up": False, "since": _NOW, "reason": "a\nb|c\x1b"})
    bench.be_held_elsewhere()
    shown = _shown(bench.read())
    assert not set("\x1b\x07\x9b") & set(shown)
    assert "[bold]?! x?31m" in shown
    line = bench.verdict(away_s=Limit(-1))[1]
    assert line.isprintable()
    assert line.count("|") == 1


def test_no_name_or_reason_in_the_summary_of_a_sync_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "x\x1b]0;gotcha\x07\n! y\x9b31m"
    refusal, rejection = Refusal(replace(_file(2), file_name=evil), evil), Rejection(evil, evil)
    result = SyncResult(evil, added=[evil], removed=[evil], refused=[refusal], rejected=[rejection], held=evil)
    result.failed = [refusal]
    summary = Summary(syncs=[result], collected=[evil], errors={evil: evil}, rejected=[evil], unremembered=True)
    show_summary(summary, dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
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
    assert "prod" in _shown(status)
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


def test_a_missing_state_database_is_told_in_a_sentence(bench: Bench) -> None:
    bench.store.close()
    bench.config.mirror.state_db.unlink()
    with pytest.raises(ConfigError, match="no packrat-agent has worked with this configuration yet"):
        bench.read()


@pytest.mark.parametrize("content", [b"", b"not a database" * 500])
def test_a_file_that_is_no_state_database_is_told_in_a_sentence(bench: Bench, content: bytes) -> None:
    bench.store.close()
    bench.config.mirror.state_db.write_bytes(content)
    with pytest.raises(ConfigError, match=r"is not a state database of packrat-agent .*takes over what is there"):
        bench.read()


@pytest.fixture
def old_schema(bench: Bench) -> Bench:
    """The state database of version 0.1.0, after the package was upgraded and before the agent was restarted."""
    bench.store.close()
    bench.config.mirror.state_db.unlink()
    first = resources.files("packrat_agent.state") / "migrations" / "0001_first.sql"
    with closing(sqlite3.connect(bench.config.mirror.state_db)) as db:
        db.executescript(f"BEGIN; {first.read_text('utf-8')} PRAGMA user_version = 1; COMMIT;")
    return bench


def _asked(bench: Bench, command: str) -> "subprocess.CompletedProcess[str]":
    config = bench.config.mirror.state_db.parents[1] / "mirror.conf"
    line = [sys.executable, "-m", "packrat_agent.cli", "--config", str(config), command]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_a_state_database_of_an_older_version_is_told_until_the_agent_has_migrated_it(old_schema: Bench) -> None:
    state_db = old_schema.config.mirror.state_db
    before = state_db.read_bytes()
    status, check = _asked(old_schema, "status"), _asked(old_schema, "check")
    for said in (status.stderr, check.stdout):
        assert "is of an older packrat-agent (schema 1, this one reads " in said
        assert "start the agent, or restart it if it is running: it brings the database up to date" in said
    assert (status.returncode, status.stdout) == (2, "")
    assert (check.returncode, check.stdout.startswith("PACKRAT UNKNOWN - ")) == (3, True)
    assert state_db.read_bytes() == before
    Store(state_db).close()
    assert _asked(old_schema, "status").returncode == 0


def test_a_state_database_of_a_newer_version_is_told(bench: Bench) -> None:
    with bench.store._db.transaction() as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(ConfigError, match=r"newer packrat-agent \(schema 999, .*upgrade packrat-agent"):
        bench.read()


def test_a_database_of_another_program_is_not_called_an_old_one(bench: Bench) -> None:
    bench.store.close()
    bench.config.mirror.state_db.unlink()
    with closing(sqlite3.connect(bench.config.mirror.state_db)) as db:
        db.executescript("CREATE TABLE settings (name, value); PRAGMA user_version = 1;")
    with pytest.raises(ConfigError, match="is not a state database of packrat-agent"):
        bench.read()


def test_a_state_database_that_may_not_be_read_is_told_in_a_sentence(bench: Bench) -> None:
    bench.store.close()
    for path in bench.config.mirror.state_db.parent.iterdir():
        path.chmod(0)
    if os.geteuid() == 0:
        # Root reads all: ask as somebody else.
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            os._exit(_told_as_closed(bench))
        assert os.waitpid(child, 0)[1] == 0
    else:
        assert _told_as_closed(bench) == 0


def _told_as_closed(bench: Bench) -> int:
    try:
        bench.read()
    except DiskError as error:
        return 0 if "may not read" in str(error) else 2
    return 1


_HOLD = """
import sys
from importlib import resources
from pathlib import Path
from packrat_agent.publish.claim import claim
with claim(Path(sys.argv[1]), Path(sys.argv[2]), "run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holding(bench: Bench) -> Iterator["subprocess.Popen[str]"]:
    mirror = bench.config.mirror
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(mirror.root_dir), str(mirror.state_db)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_runs_is_told(bench: Bench, holding: "subprocess.Popen[str]") -> None:
    assert bench.read().agent.state is AgentState.RUNNING
    bench.say(started={"pid": holding.pid, "host": "x", "at": _NOW - 60, "version": "1.2"})
    agent = bench.read().agent
    assert (agent.state, agent.pid, agent.version) == (AgentState.RUNNING, holding.pid, "1.2")
    assert f"process {holding.pid}" in _shown(bench.read())
    bench.say(started={"pid": holding.pid + 1, "at": _NOW - 60})
    assert bench.read().agent.state is AgentState.SYNCING
    assert bench.verdict(allow_stopped=False)[0] is Level.WARNING


def test_who_was_killed_does_not_run(bench: Bench, holding: "subprocess.Popen[str]") -> None:
    bench.say_good()
    assert bench.read().scan is not None
    holding.send_signal(signal.SIGKILL)
    holding.wait(60)
    holder = bench.config.mirror.state_db.with_name("state.db.lock.holder")
    assert holder.exists()
    status = bench.read()
    assert (status.agent.state, status.scan) == (AgentState.STOPPED, None)
    assert "not running" in _shown(status)
    # Its number now belongs to a process that has nothing to do with it.
    holder.write_text(json.dumps({"pid": os.getpid(), "host": os.uname().nodename}))
    assert bench.read().agent.state is AgentState.STOPPED


def test_an_agent_on_another_host_is_not_taken_for_stopped(bench: Bench) -> None:
    bench.say_good()
    bench.be_held_elsewhere()
    status = bench.read()
    assert (status.agent.state, status.agent.host) == (AgentState.ELSEWHERE, "other")
    assert bench.verdict(allow_stopped=False)[0] is Level.OK


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: json.dumps({"pid": text, "host": 1}).encode()))
@settings(max_examples=50, deadline=None)
def test_a_broken_holder_file_names_nobody(content: bytes) -> None:
    path = _SHARED.config.mirror.state_db
    path.with_name(path.name + ".lock.holder").write_bytes(content)
    holder = find_holder(path)
    assert holder is None or holder.host != os.uname().nodename
    path.with_name(path.name + ".lock.holder").unlink()


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


def _publish(store: Store, now: float, *files: tuple[str, int, int]) -> None:
    """Publish files of (path, size, inode)."""
    repo = store.wanted.repos()[0]
    written = tuple(StoredFile(path, "a" * 64, size, 1, inode) for path, size, inode in files)
    intended = [LiveFile(path, "s", "a" * 64, size) for path, size, _ in files]
    store.live.begin(repo.name, intended)
    publication = ReadyPublication("s", str(now), (), (), {})
    store.live.finish(Published(repo, (publication,), ("s",), written, ()), intended, (), now)


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
    assert "2, 3.0 TiB" in _shown(status)
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
    assert "! rejected /r/other: no directory" in _shown(bench.read())
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


def test_a_long_line_is_cut() -> None:
    assert len(tell(Level.OK, "x" * 10_000).line) < 2100


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
    assert f"at work    {text}\n" in _shown(bench.read())
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
    assert " behind\n" in _shown(bench.read())
    bench.say(repo={"checked": _NOW - 5, "behind_since": None})
    assert " good\n" in _shown(bench.read())
