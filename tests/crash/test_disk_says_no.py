"""A disk that says no, at any call: what is published stays whole, and work goes on once the disk lets it."""

import os
import select
import time
from pathlib import Path, PurePath

import pytest

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.verify.tree import verify_tree
from packrat_demo.build_deb import Deb
from support.calls import CHANGES, Call, Watch, number, watch
from support.stage import DEADLINE_S, Stage, daemon

BESIDE = ("Packages.gz", "Packages.xz", "Release", "Release.gpg", "InRelease")
ERRORS = ("ENOSPC", "EDQUOT", "EROFS", "EIO", "EACCES")


def assert_whole(lab: Stage, because: str, *, among_pointers: bool = False) -> None:
    """Audit the tree as its clients would.

    among_pointers: the disk said no between the first pointer and InRelease, the last one. That is the one that apt
    goes by, and it names its indexes by their hashes; those beside it may be newer already.
    """
    faults = verify_tree(lab.www, None, lambda files, size: None).faults
    if among_pointers:
        faults = tuple(
            fault for fault in faults if PurePath(fault.path).name not in BESIDE or "signature" in fault.what
        )
    assert not faults, f"{because}\n{faults}"


def assert_all_was_done(lab: Stage, name: str, watched: Watch, because: str) -> None:
    """See that a pass that reports no failure was done before the disk said no, if it did so at all.

    What SQLite tidies up as it closes its files may fail without harm, and so may what says who held the lock.
    """
    assert f"Package: {name}\n" in lab.packages(), because
    refused = [call.path for call in watched.calls() if call.refused]
    assert all("/state/" in path or path.endswith("/lock.holder") for path in refused), f"{refused}\n{because}"
    assert not lab.agent("sync", "--dry-run").stdout.count("+ "), because


class Work:
    """Gives the next pass of a mirror something of everything to do: files that come, change, withdraw and go."""

    def __init__(self, lab: Stage) -> None:
        self._lab = lab
        self._rounds = 0
        self._last: list[str] = []
        lab.extra = {"grace_period": "0", "keep_generations": "1"}
        lab.write_config()
        lab.server.put_deb(Deb("staying", "1", "amd64"))
        self.add()
        lab.agent("sync")

    def add(self) -> str:
        """Bring one package, take the one before it away; gives the new one's name."""
        self._rounds += 1
        name = f"package-{self._rounds}"
        for uri in self._last:
            self._lab.server.act(uri, "fail")
        self._last = self._lab.server.put_deb(
            Deb(name, "1", "amd64", files=((f"/usr/share/{name}", os.urandom(300_000)),))
        )
        return name

    def finish(self) -> None:
        """Let a pass end in peace, and see that nothing is left over."""
        name = self.add()
        self._lab.agent("sync")
        assert f"Package: {name}\n" in self._lab.packages()
        assert "Package: staying\n" in self._lab.packages()
        assert_whole(self._lab, "at the end")
        assert not list((self._lab.www / AGENT_DIR / "staging").iterdir())


def different(calls: list[Call], names: tuple[str, ...]) -> list[tuple[Call, int]]:
    """One call of each kind, with its number among all of them."""
    found: dict[tuple[str, str], tuple[Call, int]] = {}
    for at, call in enumerate((call for call in calls if call.name in names), start=1):
        found.setdefault((call.name, call.place), (call, at))
    return list(found.values())


@pytest.mark.parametrize("which", range(len(ERRORS)), ids=ERRORS)
def test_one_call_that_fails_and_all_after_it_do_no_harm(lab: Stage, tmp_path: Path, which: int) -> None:
    watched = watch(tmp_path, [lab.www, lab.directory / "state"])
    work = Work(lab)
    work.add()
    assert lab.sync(watched.environment()).returncode == 0
    # Each error takes its part of the calls; together they take half of all.
    failed = 0
    for call, at in different(watched.calls(), CHANGES)[which :: len(ERRORS) * 2]:
        name = work.add()
        because = f"{call.name} of {call.path}, the {at}th, fails with {ERRORS[which]}"
        faults = {"fail": ",".join(CHANGES), "errno": number(ERRORS[which]), "from": str(at)}
        done = lab.sync(watched.environment(**faults))
        because = f"{because}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, because
        if done.returncode == 0:
            assert_all_was_done(lab, name, watched, because)
        else:
            failed += 1
            assert done.returncode == 7, because
            assert done.stderr.count("packrat-agent: can't") == 1, because
        renamed = [call.path for call in watched.calls() if call.name == "rename" and not call.refused]
        shown = [path for path in renamed if "/dists/" in path and PurePath(path).name in BESIDE]
        among_pointers = bool(shown) and not shown[-1].endswith("/InRelease")
        assert_whole(lab, because, among_pointers=among_pointers)
        watched.log.unlink()
        if among_pointers:
            lab.agent("sync")
    assert failed > 1
    work.finish()


@pytest.mark.parametrize("name", ["list", "read", "open"])
def test_an_unreadable_file_is_not_taken_for_missing(lab: Stage, tmp_path: Path, name: str) -> None:
    watched = watch(tmp_path, [lab.www, lab.directory / "state"])
    work = Work(lab)
    work.add()
    assert lab.sync(watched.environment()).returncode == 0
    # Nothing has a reason to go now.
    lab.extra = {"keep_generations": "1000"}
    lab.write_config()
    for call, at in different(watched.calls(), (name,))[::3]:
        before = set(lab.tree())
        faults = {"fail": name, "errno": number("EIO"), "from": str(at), "count": "1"}
        done = lab.sync(watched.environment(**faults))
        because = f"{call.name} of {call.path}, the {at}th, fails\n{done.stdout}\n{done.stderr}"
        assert done.returncode in (0, 7), because
        assert "Traceback" not in done.stderr, because
        assert before <= set(lab.tree()), because
        assert_whole(lab, because)
    work.finish()


def until_tried(watched: Watch) -> None:
    """Wait until the disk has said no to two more tries."""
    seen = sum(call.refused for call in watched.calls())
    deadline = time.monotonic() + DEADLINE_S
    while sum(call.refused for call in watched.calls()) < seen + 2:
        assert time.monotonic() < deadline, "it was not tried again"
        select.select([], [], [], 0.05)


@pytest.mark.parametrize("place", ["www", "state"])
def test_a_running_agent_says_it_once_and_goes_on_by_itself(lab: Stage, tmp_path: Path, place: str) -> None:
    watched = watch(tmp_path, [lab.directory / place])
    work = Work(lab)
    switch = tmp_path / "switch"
    # Its disk says no while the switch is there.
    failing = watched.environment(fail=",".join((*CHANGES, "list")), **{"while": str(switch)})
    with daemon(lab, failing) as agent:
        agent.until_logged("checked")
        for number_of_faults, error in enumerate(("ENOSPC", "EACCES"), start=1):
            switch.write_text(number(error))
            name = work.add()
            agent.until_logged("waiting", number_of_faults)
            # Let it try again: it says nothing more.
            until_tried(watched)
            assert agent.log.count("waiting") == number_of_faults, agent.log
            assert_whole(lab, agent.log)
            # What the log calls an error is known to monitoring, also where it can't be written down.
            assert "the agent can't work: " in lab.agent("check", "--disk-free", "0", expect=2).stdout
            switch.unlink()
            agent.until_logged("recovered", number_of_faults)
            assert "can't work" not in lab.agent("check", "--disk-free", "0", expect=None).stdout
            assert f"Package: {name}\n" in lab.packages()
        assert agent.process.poll() is None
        assert agent.stop() == 0
    work.finish()
