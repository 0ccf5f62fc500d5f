"""The mutation run: each change is made alone, means what it says, and has tests that exist."""

import ast
from pathlib import Path

import pytest

from bench.mutant_tests import MUTATED, TESTS, find_tests, mutated_modules
from bench.mutant_trials import Copy, Mutant, Verdict
from bench.mutants import draw_sample, load, save
from bench.mutate import apply, find_mutations

_TOP = Path(__file__).parents[2]
_NOT_MUTATED = (
    "packrat_agent/cli/",
    "packrat_agent/setup/",
    "packrat_agent/site_page/",
    "packrat_agent/watch/",
    "packrat_core/cli/",
    "packrat_core/aio/",
    "packrat_server/admin/",
    "packrat_server/cli/",
    "packrat_server/client/",
    "packrat_server/serving/",
)
"""Folders whose tests run whole programs for the most part, or that say what others decide."""
_TESTS_OF_SYNC = sorted(_TOP.glob("tests/agent/sync/**/test_*.py"))
_SOME = "packrat_core/packages/deb/"
_LOOP = """\
def count(most: int) -> int:
    at = 0
    while at < most:
        at += 1
    return at
"""
_ITS_TEST = """\
from loop import count

def test_it_counts():
    assert count(3) == 3
"""
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
        ("`return False` → return True", "return True"),
    ],
)
def test_a_mutation_changes_what_it_says_and_nothing_else(what: str, line: str) -> None:
    before = ast.unparse(ast.parse(_SOURCE)).splitlines()
    after = changed(what).splitlines()
    [different] = [new.strip() for old, new in zip(before, after, strict=True) if old != new]
    assert different == line


@pytest.mark.parametrize(
    ("query", "changed"),
    [
        ("SELECT a FROM t WHERE b = ?", ["SELECT a FROM t WHERE b != ?"]),
        ("DELETE FROM t WHERE at <= ? OR NOT EXISTS (SELECT 1)", ["at < ?", "OR EXISTS (SELECT 1)"]),
        ("AND a IS NOT NULL AND b IN (?)", ["a IS NULL", "IS NOT NULL OR b", "b NOT IN (?)"]),
        ("INSERT OR IGNORE INTO t VALUES (?)", []),
        ("INSERT INTO t VALUES (?) ON CONFLICT DO UPDATE SET a = excluded.a", []),
        ("UPDATE t SET a = ?, b = 1 WHERE c > ?", ["WHERE c >= ?"]),
        ("SELECT a FROM t WHERE b BETWEEN ? AND ?", []),
        ("SELECT a FROM t WHERE b <> 0", ["b = 0"]),
        ("the agent = the one that runs AND mirrors", []),
    ],
)
def test_the_conditions_of_a_query_are_turned_around(query: str, changed: list[str]) -> None:
    source = f"QUERY = {query!r}\n"
    after = [apply(source, mutation) for mutation in find_mutations(source)]
    assert len(after) == len(changed)
    for new, part in zip(after, changed, strict=True):
        assert part in new
        assert new != source


def test_docstrings_and_what_stands_outside_functions_are_left() -> None:
    assert not [mutation for mutation in find_mutations(_SOURCE) if "Judge" in mutation.what or mutation.line == 1]


def test_each_row_names_modules_and_tests_that_are_there() -> None:
    modules = set(mutated_modules())
    for place, tests in TESTS.items():
        assert any(module.startswith(place) for module in modules), place
        for name in tests:
            assert (_TOP / name).exists(), name


def test_each_module_that_is_mutated_has_tests() -> None:
    assert not [module for module in mutated_modules() if not find_tests(module)]


def test_each_folder_of_the_source_is_mutated_or_said_not_to_be() -> None:
    src = _TOP / "src"
    folders = {f"{file.parent.relative_to(src)}/" for file in src.glob("packrat_*/*/__init__.py")}
    assert {place for place in (*MUTATED, *_NOT_MUTATED) if place.endswith("/")} == folders
    assert not set(MUTATED) & set(_NOT_MUTATED)
    assert all((src / place).exists() for place in MUTATED)


def test_a_seed_draws_the_same_sample_each_time() -> None:
    drawn = draw_sample(1, 20, _SOME)
    assert drawn == draw_sample(1, 20, _SOME)
    assert drawn != draw_sample(2, 20, _SOME)
    assert all(mutant.module.startswith(_SOME) for mutant in drawn)
    assert len(set(draw_sample(1, 300, _SOME))) == 300


def test_the_closest_tests_stand_where_the_module_stands_and_then_come_those_of_its_rows() -> None:
    own = "tests/core/packages/deb/test_relations.py"
    rows = [tests for place, tests in TESTS.items() if "packrat_core/packages/deb/relations.py".startswith(place)]
    expected = tuple(dict.fromkeys((own, *(name for tests in rows for name in tests))))
    assert find_tests("packrat_core/packages/deb/relations.py") == expected
    assert find_tests("packrat_core/packages/deb/control.py")[0] == "tests/core/packages/deb/test_read_deb.py"


def test_the_only_tests_that_use_a_module_of_the_sync_are_asked_for_it() -> None:
    for module in (name for name in mutated_modules() if name.startswith("packrat_agent/sync/")):
        line = f"from {module.removesuffix('.py').replace('/', '.')} import "
        users = [path for path in _TESTS_OF_SYNC if line in path.read_text()]
        assert len(users) != 1 or str(users[0].relative_to(_TOP)) in find_tests(module), module


def test_a_later_run_takes_over_the_verdicts_on_what_is_still_in_the_sample(tmp_path: Path) -> None:
    first, second, third = draw_sample(1, 3, _SOME)
    file = tmp_path / "results" / "verdicts.json"
    verdicts = [Verdict(first, "killed", 1.5, "FAILED tests/test_x.py::test_y"), Verdict(second, "survived", 2.0, "")]
    save(file, 1, verdicts)
    # Its tests are others today.
    changed = Mutant(first.module, first.mutation, (*first.tests, "tests/test_new.py"))
    assert load(file, [changed, third]) == {changed: Verdict(changed, "killed", 1.5, "FAILED tests/test_x.py::test_y")}


@pytest.mark.parametrize(
    ("what", "outcome", "noticed_by"),
    [
        ("swap the comparison `at < most`", "killed", "FAILED tests/test_loop.py::test_it_counts - assert 4 == 3"),
        ("drop `at += 1`", "timeout", "exit code -24"),
        ("3 → 4", "survived", ""),
    ],
)
def test_a_mutant_is_judged_by_its_tests(tmp_path: Path, what: str, outcome: str, noticed_by: str) -> None:
    for folder in ("src", "tests"):
        (tmp_path / folder).mkdir()
    source = _LOOP + "\n\ndef unused() -> int:\n    return 3\n"
    (tmp_path / "src" / "loop.py").write_text(source)
    (tmp_path / "tests" / "test_loop.py").write_text(_ITS_TEST)
    [mutation] = [mutation for mutation in find_mutations(source) if mutation.what == what]
    verdict = Copy(tmp_path).judge(Mutant("loop.py", mutation, ("tests/test_loop.py",)), limit_cpu_s=2)
    assert verdict.outcome == outcome
    assert verdict.noticed_by.startswith(noticed_by)
    assert (tmp_path / "src" / "loop.py").read_text() == source
