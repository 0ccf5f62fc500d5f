"""The mutation run: each change is made alone, means what it says, and has tests that exist."""

import ast
from pathlib import Path

import pytest

from bench.mutants import TESTS, draw_sample
from bench.mutate import apply, find_mutations

_TOP = Path(__file__).parents[2]
_SOURCE = '''\
LIMIT = 5

def judge(size: int, names: list[str]) -> bool:
    """Judge."""
    if not names:
        raise ValueError("none")
    names.sort()
    if size > 3 and names[0] in "ab":
        return True
    return False
'''


def changed(what: str) -> str:
    """The source with the one mutation that is described so."""
    [mutation] = [mutation for mutation in find_mutations(_SOURCE) if mutation.what == what]
    return apply(_SOURCE, mutation)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("drop not in `not names`", "if not not names:"),
        ("drop `raise ValueError('none')`", "pass"),
        ("drop `names.sort()`", "pass"),
        ("swap the comparison `size > 3`", "if size >= 3 and names[0] in 'ab':"),
        ("swap the comparison `names[0] in 'ab'`", "if size > 3 and names[0] not in 'ab':"),
        ("swap and/or in `size > 3 and names[0] in 'ab'`", "if size > 3 or names[0] in 'ab':"),
        ("3 → 4", "if size > 4 and names[0] in 'ab':"),
        ("0 → -1", "if size > 3 and names[-1] in 'ab':"),
        ("`return True` → return None", "return None"),
    ],
)
def test_a_mutation_changes_what_it_says_and_nothing_else(what: str, line: str) -> None:
    before = ast.unparse(ast.parse(_SOURCE)).splitlines()
    after = changed(what).splitlines()
    [different] = [new.strip() for old, new in zip(before, after, strict=True) if old != new]
    assert different == line


def test_docstrings_and_what_stands_outside_functions_are_left() -> None:
    assert not [mutation for mutation in find_mutations(_SOURCE) if "Judge" in mutation.what or mutation.line == 1]


def test_each_module_of_the_table_is_there_and_so_are_its_tests() -> None:
    for module, tests in TESTS.items():
        assert (_TOP / "src" / module).exists(), module
        for name in tests:
            assert (_TOP / name).exists(), name


def test_a_seed_draws_the_same_sample_each_time() -> None:
    assert draw_sample(1, 20) == draw_sample(1, 20)
    assert draw_sample(1, 20) != draw_sample(2, 20)
    assert len(set(draw_sample(1, 300))) == 300
