"""The quick look at the names in a wheel never takes what the checks refuse, and the usual wheel needs no other."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_core.archives.member_names import check_name
from packrat_core.archives.zip_directory import ZipMember
from packrat_core.errors import Refused
from packrat_core.packages.python.names_inside import (
    are_names_usual,
    check_names,
    refuse_doubles,
    refuse_files_on_the_way,
)

PARTS = st.sampled_from(["a", "A", "b", "b.", ".", "x.dist-info", "X.dist-info", "PKG-INFO", "é", "\ufb00", "a\nb"])
LONG = st.sampled_from(["n" * 255, "n" * 256])
NAMES = st.builds(
    lambda parts, end: "/".join(parts) + end,
    st.lists(PARTS | LONG, min_size=1, max_size=4),
    st.sampled_from(["", "", "", "/", "//"]),
)


def members_of(names: list[str]) -> list[ZipMember]:
    return [ZipMember(name, name.encode(), b"", 0, 0, 0, 0, 0, at) for at, name in enumerate(names)]


def refusal(names: list[str]) -> str:
    members = members_of(names)
    try:
        refuse_doubles(members)
        refuse_files_on_the_way(members)
    except Refused as refused:
        return str(refused)
    return ""


@settings(max_examples=500, deadline=None)
@given(st.lists(NAMES, max_size=6))
@example(["a\nb", "c", "c"])
@example(["x.dist-info/METADATA", "X.dist-info/RECORD"])
@example(["a", "a/b"])
def test_names_are_refused_as_by_the_checks_alone(names: list[str]) -> None:
    for name in names:
        check_name(name)
    members, expected = members_of(names), refusal(names)
    assert not (expected and are_names_usual(members))
    if expected:
        # Which of two names is told depends on the order of a set.
        with pytest.raises(Refused):
            check_names(members)
    else:
        check_names(members)


def test_the_usual_wheel_is_taken_at_a_glance() -> None:
    info = [f"tool-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")]
    modules = [f"tool/part_{number}/module.py" for number in range(496)]
    assert are_names_usual(members_of([*modules, *info]))
    assert are_names_usual(members_of(["tool/", "tool/data/", "tool/data/x"]))
    assert not are_names_usual(members_of([*modules, *info, "tool/__init__.py"]))
    assert are_names_usual(members_of(["n" * 255]))
    assert not are_names_usual(members_of(["n" * 256]))
