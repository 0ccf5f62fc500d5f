"""A message has the singular where it counts one thing: `count_of` writes such numbers."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_SRC = Path(__file__).parents[2] / "src"
_THINGS = "changes|days|faults|files|images|keys|mirrors|packages|records|repositories|seconds|tags|users|warnings"
_COUNTED = re.compile(rf" (?:[a-z]+ )?(?:{_THINGS})\b")
_NEVER_ONE = frozenset({"len(clients)", "len(images)", "len(listed)", "len(tops)"})
_NO_NUMBERS = frozenset({"namespaces", "packrat.name", "root", "taken"})


def _find_plurals(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, text in zip(node.values, node.values[1:], strict=False):
            if not (isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant)):
                continue
            if _COUNTED.match(str(text.value)):
                yield ast.unparse(value.value)


def test_no_message_says_one_files() -> None:
    found = {
        f"{path.relative_to(_SRC)}: {counted}"
        for path in _SRC.rglob("*.py")
        for counted in _find_plurals(path.read_text(encoding="utf-8"))
        # Constants in capitals are limits, far above one.
        if counted not in _NEVER_ONE | _NO_NUMBERS and not re.match(r"_?[A-Z]{2}", counted)
    }
    assert not found


def test_a_plural_behind_any_number_is_found() -> None:
    source = 'f"{len(audit.faults)} faults in {top}, {total:,} broken files, {_LIMIT} kinds"'
    assert list(_find_plurals(source)) == ["len(audit.faults)", "total"]
