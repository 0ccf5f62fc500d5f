"""Makes single changes to a module that a good test suite notices.

A mutation is one change of one expression or statement: a condition negated, a comparison or `and`/`or` swapped, a
constant moved by one, a `not` dropped, a statement or a `raise` removed, a returned value replaced by None. In a query,
a condition is turned around, or `AND` becomes `OR`.

    for mutation in find_mutations(source):
        changed = apply(source, mutation)
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_SWAPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}

_SWAPPED_IN_SQL = {
    "=": "!=",
    "<>": "=",
    "!=": "=",
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "AND": "OR",
    "IN": "NOT IN",
    "NOT IN": "IN",
    "EXISTS": "NOT EXISTS",
    "NOT EXISTS": "EXISTS",
    "IS NULL": "IS NOT NULL",
    "IS NOT NULL": "IS NULL",
}
_SQL_OPERATOR = re.compile(
    r"(?<= )(?:[<>!]?=|<>|[<>]|AND|(?:NOT )?IN|IS (?:NOT )?NULL)(?=[ ,)]|$)|(?<= )(?:NOT )?EXISTS(?= \()"
)
_SQL_PLACE = re.compile(r"\b(?:SET|WHERE|AND|OR|ON|HAVING|WHEN|BETWEEN)\b")
_SQL_BEGIN = re.compile(r"(?:SELECT|INSERT|UPDATE|DELETE|WITH|WHERE|AND|FROM|JOIN)\b")
_NO_CONDITION = ("", "SET", "BETWEEN")


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change; `number` counts the changes that a module offers, from 0."""

    number: int
    line: int
    function: str
    what: str


@dataclass(frozen=True, slots=True)
class _Change:
    line: int
    function: str
    what: str
    make: Callable[[], None]


def find_mutations(source: str) -> list[Mutation]:
    """List the changes that the source of a module offers, in the order of its lines."""
    changes = enumerate(_changes_of(ast.parse(source)))
    return [Mutation(number, change.line, change.function, change.what) for number, change in changes]


def apply(source: str, mutation: Mutation) -> str:
    """Make one of the changes; comments and layout are lost."""
    tree = ast.parse(source)
    changes = list(_changes_of(tree))
    changes[mutation.number].make()
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _changes_of(tree: ast.Module) -> Iterator[_Change]:
    """All changes of a tree; sorted, so that a number always means the same one."""
    found: list[_Change] = []
    _visit(tree, "", found)
    # A stable sort: several changes of one line stay in the order of the walk.
    yield from sorted(found, key=lambda change: change.line)


def _visit(node: ast.AST, function: str, found: list[_Change]) -> None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    # Outside functions stand imports, constants and the fields of values, which mypy and the linters hold; and queries.
    found += [_Change(at.lineno, function, what, make) for at, what, make in _changed_queries(node)]
    if function:
        found += [_Change(at.lineno, function, what, make) for at, what, make in _offers_of(node)]
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases", "keywords_of_class"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                _visit(child, function, found)


_Offer = tuple[ast.expr | ast.stmt, str, Callable[[], None]]


def _offers_of(node: ast.AST) -> Iterator[_Offer]:
    """The changes of one node itself."""
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        if not isinstance(node.test, ast.UnaryOp | ast.Compare):
            yield node.test, f"negate `{ast.unparse(node.test)}`", lambda: _negate(node)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        swapped = _SWAPPED[type(node.ops[0])]()
        yield node, f"swap the comparison `{ast.unparse(node)}`", lambda: node.ops.__setitem__(0, swapped)
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield node, f"swap and/or in `{ast.unparse(node)}`", lambda: setattr(node, "op", other)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        for step in (1, -1):
            changed = node.value + step
            yield node, f"{node.value} → {changed}", lambda changed=changed: setattr(node, "value", changed)  # type: ignore[misc]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        # Twice negated has the truth of the operand, as a bool, as before.
        yield node, f"drop not in `{ast.unparse(node)}`", lambda: _negate_operand(node)
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        # What is false is as false as None.
        value = True if isinstance(node.value, ast.Constant) and node.value.value is False else None
        yield node, f"`{_shown(node)}` → return {value}", lambda: setattr(node, "value", ast.Constant(value))
    yield from _dropped_statements(node)


def _changed_queries(node: ast.AST) -> Iterator[_Offer]:
    """The changes of a text that is a query, or a part of one."""
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL_BEGIN.match(node.value.strip())):
        return
    for found in _SQL_OPERATOR.finditer(node.value):
        places = _SQL_PLACE.findall(node.value, 0, found.start())
        if (places or [""])[-1] in _NO_CONDITION:
            continue
        swapped = _SWAPPED_IN_SQL[found[0]]
        changed = node.value[: found.start()] + swapped + node.value[found.end() :]
        shown = node.value[max(0, found.start() - 20) : found.end() + 10].strip()
        yield node, f"{found[0]} → {swapped} in `{shown}`", lambda changed=changed: setattr(node, "value", changed)  # type: ignore[misc]


def _dropped_statements(node: ast.AST) -> Iterator[_Offer]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if not isinstance(block, list):
            continue
        for index, statement in enumerate(block):
            if _may_go(statement):
                yield statement, f"drop `{_shown(statement)}`", lambda b=block, i=index: b.__setitem__(i, ast.Pass())  # type: ignore[misc]


def _may_go(statement: ast.AST) -> bool:
    if isinstance(statement, ast.Expr):
        # Docstrings and `...` do nothing.
        return not isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Raise | ast.Assert | ast.AugAssign | ast.Continue | ast.Break | ast.Delete)


def _negate(node: ast.If | ast.While | ast.IfExp) -> None:
    node.test = ast.UnaryOp(ast.Not(), node.test)


def _negate_operand(node: ast.UnaryOp) -> None:
    node.operand = ast.UnaryOp(ast.Not(), node.operand)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else f"{text[:69]}…"
