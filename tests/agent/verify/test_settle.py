"""A fault of a tree that changes counts once it is found twice at a file that nobody replaced."""

from collections.abc import Callable, Iterator
from pathlib import Path

from packrat_agent.verify.findings import Audit, Fault
from packrat_agent.verify.settle import settle


def found(*paths: str) -> Audit:
    return Audit((), 3, 30, tuple(Fault(path, "is wrong") for path in paths), ())


def replace(path: Path) -> None:
    """Put another file in the place of this one, as a publication does."""
    other = path.with_name("other")
    other.write_text(path.read_text() + "more")
    other.replace(path)


def looks(top: Path, *steps: Callable[[Path], Audit]) -> Callable[[], Audit]:
    left: Iterator[Callable[[Path], Audit]] = iter(steps)
    return lambda: next(left)(top)


def replaced(name: str, then: Audit) -> Callable[[Path], Audit]:
    def look(top: Path) -> Audit:
        replace(top / name)
        return then

    return look


def test_a_fault_that_is_gone_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    assert settle(tmp_path, found("a"), looks(tmp_path, lambda _: found())) == found()


def test_a_fault_that_stands_is_reported_after_the_second_look(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    wrong = found("a", "missing", "no\0name", ".")
    assert settle(tmp_path, wrong, looks(tmp_path, lambda _: wrong)) == wrong


def test_a_fault_of_a_file_that_was_replaced_is_looked_at_again(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    both, one = found("a", "b"), found("b")
    assert settle(tmp_path, both, looks(tmp_path, replaced("a", both), lambda _: one)) == one


def test_a_new_fault_has_to_be_found_twice(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    other = found("b")
    assert settle(tmp_path, found("a"), looks(tmp_path, lambda _: other, lambda _: other)) == other


def test_a_tree_that_never_stands_still_is_a_warning(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    both = found("a", "b")
    settled = settle(tmp_path, both, lambda: replaced("a", both)(tmp_path))
    assert settled.faults == found("b").faults
    assert [warned.path for warned in settled.warnings] == ["a"]


def test_pointers_that_stand_ready_for_good_hide_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    ready = tmp_path / ".packrat-agent/publishing/repo-x"
    ready.mkdir(parents=True)
    (ready / "pointer").touch()
    wrong = found("a")
    assert settle(tmp_path, wrong, lambda: wrong) == wrong
