"""Whatever is asked of a file in whatever order, the rules of promotion keep it consistent."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_server.promotion.rules import (
    CHANGE_CONTROL_LIMIT,
    MARKS,
    FileState,
    Mark,
    Rejected,
    TagRule,
    check_mark,
    check_tag,
    check_untag,
)

RULES = {
    "dev": TagRule("dev", (), False),
    "stage": TagRule("stage", ("dev",), False),
    "audited": TagRule("audited", ("dev",), True),
    "prod": TagRule("prod", ("audited", "stage"), True),
}
TAGGING: tuple[Literal["tag", "untag"], ...] = ("tag", "untag")
MARKING: tuple[Literal["mark", "unmark"], ...] = ("mark", "unmark")
STEPS = st.one_of(
    st.tuples(st.sampled_from(TAGGING), st.sampled_from(sorted(RULES))),
    st.tuples(st.sampled_from(MARKING), st.sampled_from(MARKS)),
)


def dependents(tag: str) -> list[str]:
    return sorted(rule.name for rule in RULES.values() if tag in rule.requires)


def after(file: FileState, action: str, name: str, control: str | None) -> FileState:
    """The file after a step, or the same where a rule forbids it."""
    marks: tuple[Mark, ...] = tuple(mark for mark in MARKS if mark in (*file.marks, name))
    try:
        if action == "tag":
            check_tag(file, RULES[name], control)
            return FileState(file.marks, file.tags | {name})
        if action == "untag":
            check_untag(file, name, dependents(name))
            return FileState(file.marks, file.tags - {name})
        if action == "mark":
            check_mark(file, next(mark for mark in MARKS if mark == name))
            return FileState(marks, file.tags)
    except Rejected:
        return file
    return FileState(tuple(mark for mark in file.marks if mark != name), file.tags)


@given(st.lists(st.tuples(STEPS, st.sampled_from([None, "", "CHG-1", "x" * (CHANGE_CONTROL_LIMIT + 1)])), max_size=40))
def test_a_file_stays_consistent(steps: list[tuple[tuple[str, str], str | None]]) -> None:
    file = FileState((), frozenset())
    for (action, name), control in steps:
        before, file = file, after(file, action, name, control)
        for tag in file.tags:
            assert set(RULES[tag].requires) <= file.tags
        assert len(file.marks) < 2
        for tag in file.tags - before.tags:
            assert not before.marks
            assert not RULES[tag].needs_change_control or control == "CHG-1"


@pytest.mark.parametrize(
    ("file", "tag", "control", "code"),
    [
        (FileState(("failed",), frozenset()), "dev", None, "DEPROCATED/FAILED"),
        (FileState(("deprocated",), frozenset({"dev"})), "dev", None, "DEPROCATED/FAILED"),
        (FileState((), frozenset({"dev"})), "dev", None, "ALLREADY_TAGGED"),
        (FileState((), frozenset()), "stage", None, "TAG_REQUIRED"),
        (FileState((), frozenset({"dev", "stage"})), "prod", "CHG-1", "TAG_REQUIRED"),
        (FileState((), frozenset({"dev"})), "audited", "", "CHANGECONTROL_REQUIRED"),
        (FileState((), frozenset({"dev"})), "stage", "x" * 51, "CHANGECONTROL_INVALID"),
    ],
)
def test_a_refused_tag_names_its_rule(file: FileState, tag: str, control: str | None, code: str) -> None:
    with pytest.raises(Rejected) as told:
        check_tag(file, RULES[tag], control)
    assert told.value.code == code
