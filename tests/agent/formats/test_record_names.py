"""Packages renamed because the server can't store their names are these packages; all others stay others."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_agent.formats.record_names import means

SAME = [
    ("1.6-2.1.deb12u3", "1.6-2.1+deb12u3"),
    ("1.0-rc1", "1.0~rc1"),
    ("1.0rc1", "1.0~rc1"),
    ("python311", "python3.11"),
    ("python3-11", "python3.11"),
    ("python3_11", "python3.11"),
    ("libfoo", "libfoo++"),
    ("libstdc--6", "libstdc++6"),
    ("libfoo_", "libfoo++"),
    ("1.2.0-1", "1:2.0-1"),
    ("12.0-1", "1:2.0-1"),
    ("2.0.git1-1", "2.0^git1-1"),
    ("1.2.0", "1!2.0"),
    ("11", "1.1"),
    ("hello", "hello"),
    ("1.6-2.1+deb12u3", "1.6-2.1+deb12u3"),
]
OTHERS = [
    ("1.6", "1.7"),
    ("1.6-2.1.deb12u3", "1.6-2.1+deb12u2"),
    ("1.6-1", "1.6-1+b1"),
    ("1.0~rc1", "1.0-rc1"),
    ("1.0+rc1", "1.0~rc1"),
    ("1.0", "1-0"),
    ("1.0", "10"),
    ("1.0-1", "1.01"),
    ("hello", "hello-doc"),
    ("hello-doc", "hello"),
    ("Hello", "hello"),
    ("libfoo++", "libfoo"),
    ("libfoopp", "libfoo++"),
    ("python312", "python3.11"),
    ("python3..11", "python3.11"),
    ("", "++"),
    ("", ""),
    ("x", ""),
]

_TEXTS = st.text("a1-_+~.", max_size=4)
_WHAT_STAYS = str.maketrans("", "", "+~:.^!-_")


@pytest.mark.parametrize(("recorded", "inside"), SAME)
def test_a_renamed_package_is_that_package(recorded: str, inside: str) -> None:
    assert means(recorded, inside)


@pytest.mark.parametrize(("recorded", "inside"), OTHERS)
def test_another_package_is_another(recorded: str, inside: str) -> None:
    assert not means(recorded, inside)


@given(st.text("abz019-_+~:.^!", min_size=1, max_size=30), st.lists(st.sampled_from(["", ".", "-", "_", None])))
def test_each_unstorable_character_may_be_kept_dropped_or_replaced(inside: str, ways: Sequence[str | None]) -> None:
    chosen = iter(ways)
    recorded = "".join(
        letter if letter not in "+~:.^!" or (way := next(chosen, "")) is None else way for letter in inside
    )
    assert means(recorded, inside) or (recorded == "" and inside != "")


@settings(max_examples=2000, deadline=None)
@given(_TEXTS, _TEXTS)
@example("1.0", "1-0")
def test_nothing_else_may_differ(recorded: str, inside: str) -> None:
    if recorded == inside or not means(recorded, inside):
        return
    # Letters and digits are the same, in the same order.
    assert recorded.translate(_WHAT_STAYS) == inside.translate(_WHAT_STAYS)
    # What a server can store is not replaced, nor does anything come in that it can't.
    for letter in "+~:^!":
        assert recorded.count(letter) <= inside.count(letter)
    assert len(recorded) <= len(inside)
    unstorable = sum(inside.count(letter) for letter in "+~:.^!")
    assert len(inside) - len(recorded) <= unstorable
    assert recorded.count("-") + recorded.count("_") >= inside.count("-") + inside.count("_")


@given(st.text("ab01-_", min_size=1, max_size=20), st.text("ab01-_", min_size=1, max_size=20))
def test_names_that_any_server_can_store_are_never_confused(recorded: str, inside: str) -> None:
    assert means(recorded, inside) is (recorded == inside)


@pytest.mark.timeout(5)
def test_long_texts_cost_little() -> None:
    assert not means("-" * 199 + "x", "+" * 2000 + "y")
    assert means("-" * 200, "+" * 2000)
