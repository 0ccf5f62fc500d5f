"""Whatever words the log says at ERROR, in any combination and with any reason: check, status and metrics show all."""

import io
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.config.load import load
from packrat_agent.model.entries import Refusal
from packrat_agent.model.records import DistroVersion, PackageFile, Rejection, Repo, Wanted
from packrat_agent.state.facts import Failure, LastFullSync, RefusedConfig
from packrat_agent.state.store import Store
from packrat_agent.status.nagios import Level, Limit, Limits, judge
from packrat_agent.status.prometheus import render_metrics
from packrat_agent.status.reading import read_status
from packrat_agent.status.table import list_troubles, show_status
from packrat_agent.sync import fault_log
from packrat_core.text import printable
from support.mirror_conf import write_mirror_conf

NOW = 1_800_000_000.0
REPO = Repo("apt-dev", "", "apt-dev", "apt", (DistroVersion("b", "d", "12", "deb"),))
FILE = PackageFile("/f/1", "pkg", "b", "1", "deb", "amd64", "http://x/pkg_1.deb", "pkg_1.deb", f"{1:064x}")

STATES: Mapping[str, tuple[Callable[[Store, str], None], str]] = {
    "clock": (lambda store, why: store.facts.update_repo("apt-dev", ahead=why), r"repo_dated_ahead\{.*\} 1"),
    "config": (lambda store, why: store.facts.write(RefusedConfig(NOW, why)), "configuration_refused 1"),
    "failed": (lambda store, why: store.facts.update_repo("apt-dev", error=why), r"repo_failed\{.*\} 1"),
    "failed file": (
        lambda store, why: store.wanted.note_trouble("apt-dev", [Refusal(FILE, why)], ()),
        "left_out_files 1",
    ),
    "held": (lambda store, why: store.facts.update_repo("apt-dev", held=why), r"repo_held\{.*\} 1"),
    "metrics": (lambda store, why: store.facts.note_side_fault("metrics_file", why, NOW), "side_faults [123]"),
    "page": (lambda store, why: store.facts.note_side_fault("the landing page", why, NOW), "side_faults [123]"),
    "refused": (lambda store, why: store.wanted.refuse("apt-dev", [Refusal(FILE, why)]), "left_out_files 1"),
    "rejected": (lambda store, why: store.rejections.note("", [Rejection("/r/1", why)]), "rejected_records 1"),
    "server-clock": (lambda store, why: store.facts.note_side_fault("the clock", why, NOW), "side_faults [123]"),
    "waiting": (lambda store, why: store.facts.write(Failure(NOW, why)), "failing 1"),
}
"""Word → how the agent remembers its state, and the figure that shows it."""


def test_there_is_a_state_for_each_word_of_the_fault_log() -> None:
    # `config` and `waiting` are said elsewhere; tests/daemon/test_logged_errors.py counts all places in the source.
    assert {*fault_log._LOGGED, "config", "waiting"} == {state.partition(" ")[0] for state in STATES}


@given(st.dictionaries(st.sampled_from(sorted(STATES)), st.text(min_size=1, max_size=50).filter(str.strip), min_size=1))
@settings(max_examples=60, deadline=None)
def test_no_error_is_hidden_by_its_words_or_by_others(errors: Mapping[str, str]) -> None:
    if {"failed file", "refused"} <= set(errors):
        # A file is in one state.
        errors = {state: why for state, why in errors.items() if state != "refused"}
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "www").mkdir()
        config = load(write_mirror_conf(Path(directory), "https://packrat.example.com", name="prod"))
        store = Store(config.mirror.state_db)
        try:
            store.repos.save([REPO])
            store.wanted.remember_wanted("apt-dev", Wanted(frozenset({FILE.uri}), (FILE,), ()), None)
            store.facts.write(LastFullSync(NOW - 1, NOW, 1.0, 0, 0, 0, 0, complete=True))
            limits = Limits(disk_percent=Limit(), allow_stopped=True)
            assert judge(read_status(config, now=NOW), limits).level is Level.OK
            for state, why in errors.items():
                STATES[state][0](store, why)
            status = read_status(config, now=NOW)
        finally:
            store.close()
    assert judge(status, limits).level in (Level.WARNING, Level.CRITICAL)
    told = [text for text, _ in list_troubles(status)]
    stream = io.StringIO()
    show_status(status, stream)
    figures = render_metrics(status).decode()
    for state, why in errors.items():
        assert any(why in text for text in told), state
        assert printable(why).strip() in stream.getvalue()
        assert re.search(rf"^packrat_agent_{STATES[state][1]}", figures, re.M), state
    assert len(told) == len(errors)
