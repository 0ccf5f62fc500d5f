"""What import-linter does not check: no import cycle, module docstrings, sizes, names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
AGENT = SRC / "packrat_agent"

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
LINES_LIMIT = 400
FUNCTION_LIMIT = 50
PARAMETERS_LIMIT = 7


def modules() -> list[Path]:
    return [path for path in sorted(SRC.rglob("*.py")) if path.name != "__init__.py"]


def imported(path: Path) -> Iterator[str]:
    """The dotted names of our own modules that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("packrat_"):
            yield node.module
            for alias in node.names:
                if (SRC / (f"{node.module}.{alias.name}".replace(".", "/") + ".py")).exists():
                    yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("packrat_"))


def test_no_circle_of_imports() -> None:
    graph = {".".join(path.relative_to(SRC).with_suffix("").parts): set(imported(path)) for path in SRC.rglob("*.py")}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " → ".join((*above, module))
        if module in done:
            return
        for name in graph.get(module, ()):
            visit(name, (*above, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SRC)))
def test_a_module_opens_with_what_it_is_for(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    first = text.partition("\n\n")[0]
    assert re.fullmatch(r"\S.*[.:)]", first, re.DOTALL), "the first paragraph says what the module is for"
    assert first.count("\n") < 4, "one to three sentences"


@pytest.mark.parametrize("path", sorted(SRC.rglob("__init__.py")), ids=lambda path: str(path.parent.relative_to(SRC)))
def test_a_folder_opens_with_what_it_holds(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert re.match(r"\S[^\n]*\.(\n|$| )", text), "the first line says what the folder holds"
    missing = [name for name in re.findall(r"`([a-z_]+\.(?:py|sql))`", text) if not (path.parent / name).exists()]
    assert not missing, "it names modules that are there"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SRC)))
def test_nothing_grows_too_large(path: Path) -> None:
    source = path.read_text()
    assert path.stem not in FORBIDDEN_NAMES
    assert source.count("\n") <= LINES_LIMIT
    if "migrations/versions" in str(path):
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length < FUNCTION_LIMIT, f"{node.name} has {length} lines"
            arguments = [a for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")]
            commands = any(
                "command" in ast.unparse(decorator) or "_of_a_session" in ast.unparse(decorator)
                for decorator in node.decorator_list
            )
            assert commands or len(arguments) <= PARAMETERS_LIMIT, f"{node.name} has {len(arguments)} parameters"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SRC)))
def test_a_docstring_explains_three_or_more_parameters(path: Path) -> None:
    if path.match("formats/*/format.py"):
        # The interface has them, once for all types.
        return
    tree = ast.parse(path.read_text())
    # What a base class declares, also one of a library, is explained there; a protocol is such a base class itself.
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    derived = [kind for kind in classes if {ast.unparse(base).partition("[")[0] for base in kind.bases} - {"Protocol"}]
    inherited = {id(node) for kind in derived for node in kind.body}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        text = ast.get_docstring(node)
        arguments = [a for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")]
        # The docstring of a command is its help.
        is_command = any("command" in ast.unparse(decorator) for decorator in node.decorator_list)
        if text is not None and len(arguments) >= 3 and not is_command and id(node) not in inherited:
            assert "Args:" in text, f"{node.name} has {len(arguments)} parameters"


def test_the_servers_spellings_stay_in_the_module_that_talks_to_it() -> None:
    # The original agent's state database has the server's spellings in its columns.
    reads_original = AGENT / "state/original.py"
    for path in AGENT.rglob("*.py"):
        if path.parent.name != "upstream" and path != reads_original:
            for word in ("deprocated", "distroversion_list", "manager_type", "filesystem_dir"):
                assert word not in path.read_text(), f"{word} in {path}"
