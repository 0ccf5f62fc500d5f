"""A publication that was interrupted is told apart from one that is under way, and from none."""

from pathlib import Path

from packrat_agent.verify.findings import Warned
from packrat_agent.verify.interrupted import INTERRUPTED, find_interrupted
from packrat_core.fs.locks import FileLock, is_locked


def test_only_pointers_that_are_ready_count(tmp_path: Path) -> None:
    publishing = tmp_path / ".packrat-agent" / "publishing"
    assert list(find_interrupted(tmp_path)) == []
    for directory in ("new-a", "repo-b", "repo-"):
        (publishing / directory).mkdir(parents=True)
    (publishing / "new-a" / "pointer").touch()
    # All its pointers are in their places.
    assert list(find_interrupted(tmp_path)) == []
    (publishing / "repo-b" / "pointer").touch()
    (publishing / "repo-" / "pointer").touch()
    assert list(find_interrupted(tmp_path)) == [Warned("the site", INTERRUPTED), Warned("b", INTERRUPTED)]


def test_while_an_agent_works_it_is_under_way(tmp_path: Path) -> None:
    own = tmp_path / ".packrat-agent"
    (own / "publishing" / "repo-b").mkdir(parents=True)
    (own / "publishing" / "repo-b" / "pointer").touch()
    with FileLock(own / "lock") as lock:
        assert lock.try_exclusive()
        assert is_locked(own / "lock")
        assert [fault.what.partition(";")[0] for fault in find_interrupted(tmp_path)] == ["a publication is under way"]
    assert not is_locked(own / "lock")
    assert [fault.what for fault in find_interrupted(tmp_path)] == [INTERRUPTED]
