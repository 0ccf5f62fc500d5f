"""Each statement of SECURITY.md is held by tests that exist, or is listed as advice; security_page.toml says which."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

_TOP = Path(__file__).parents[2]
_PAGE = (_TOP / "SECURITY.md").read_text()
_HELD = tomllib.loads(Path(__file__).with_name("security_page.toml").read_text())
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"])")
_AT_MOST = 20
"""Sentences that state nothing that a program does: how the page is read, and what the operator should do."""


def statements(page: str) -> Iterator[str]:
    """Give the sentences and the table rows of a page, each on one line, save the rows of tables held whole."""
    for section in re.split(r"^##? ", page, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        for block in re.split(r"\n\s*\n|\n(?=- )", body):
            lines = block.strip().splitlines()
            if lines and lines[0].startswith("|"):
                if heading not in _HELD["tables"]:
                    yield from lines[2:]
            else:
                text = " ".join(line.strip() for line in lines).removeprefix("- ").replace("**", "")
                yield from filter(None, _SENTENCE_END.split(text))


@cache
def _tests_of(path: str) -> frozenset[str]:
    tree = ast.parse((_TOP / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_each_statement_is_held_or_listed_as_advice() -> None:
    said = list(statements(_PAGE))
    listed = [*_HELD["statements"], *_HELD["advice"]["sentences"]]
    assert len(said) == len(set(said))
    assert sorted(set(said) - set(listed)) == [], "SECURITY.md says this without a test: add it to security_page.toml"
    assert sorted(set(listed) - set(said)) == [], "SECURITY.md doesn't say this any more"
    assert len(listed) == len(set(listed))
    assert len(_HELD["advice"]["sentences"]) <= _AT_MOST


@pytest.mark.parametrize("kind", ["statements", "tables"])
def test_the_tests_that_hold_a_statement_exist(kind: str) -> None:
    for said, tests in _HELD[kind].items():
        assert tests, said
        assert len(tests) == len(set(tests)), said
        for test in tests:
            path, _, name = test.partition("::")
            assert name.startswith("test_"), test
            assert name in _tests_of(f"tests/{path}"), f"{test}, which holds {said!r}, does not exist"


def test_a_table_that_is_held_whole_is_there() -> None:
    headings = re.findall(r"^## (.*)$", _PAGE, re.MULTILINE)
    assert set(_HELD["tables"]) <= set(headings)


def test_a_sentence_that_nobody_holds_is_found() -> None:
    page = "## New\n\nFirst, as a sentence. **Second.** Third\nover two lines.\n\n- A point: with more.\n- Another.\n\n"
    found = list(statements(f"{page}| a | b |\n|---|---|\n| row | said |\n"))
    assert found == [
        "First, as a sentence.",
        "Second.",
        "Third over two lines.",
        "A point: with more.",
        "Another.",
        "| row | said |",
    ]
