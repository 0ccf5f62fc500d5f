"""The shape of the house: imports form a star, modules say what they take, give and touch, nothing grows too large."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
AGENT = SRC / "packrat_agent"

CENTRE = {"model", "errors", "disk", "paths", "log", "steps", "threads", "gpg_status"}
"""What every step may import; these import each other one way only: disk → errors, paths → model, model → nothing."""

STEPS = {
    "fetch",
    "plan",
    "scan",
    "publish",
    "sweep",
    "sign",
    "keyring",
    "site",
    "config",
    "config_file",
    "claim",
    "make",
    "sign_package",
    "lone_key",
}
FOLDERS = {"formats", "server", "state"}
"""Steps that are folders: inside, imports go one way."""

ALLOWED = {
    # A configuration is read by two modules, one over the other; so is signing.
    "config": {"config_file"},
    "sign": {"keyring"},
    "lone_key": {"keyring"},
    # Whether an rpm is signed stands in its header.
    "sign_package": {"keyring", "formats"},
    # What is made of a file is the format's to say, and a signed copy is signed.
    "make": {"formats", "keyring", "sign_package"},
}
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


def first_part(module: str) -> str:
    return module.removeprefix("packrat_agent.").split(".")[0]


@pytest.mark.parametrize("step", sorted(STEPS))
def test_a_step_imports_only_the_centre(step: str) -> None:
    parts = {first_part(name) for name in imported(AGENT / f"{step}.py") if name != "packrat_agent"}
    assert parts <= CENTRE | ALLOWED.get(step, set())


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_a_step_in_a_folder_imports_only_the_centre_and_itself(folder: str) -> None:
    for path in (AGENT / folder).rglob("*.py"):
        parts = {first_part(name) for name in imported(path) if name != "packrat_agent"}
        assert parts <= CENTRE | {folder}, path


def test_the_centre_knows_nobody() -> None:
    assert not set(imported(AGENT / "model.py"))
    assert not set(imported(AGENT / "errors.py"))
    assert {first_part(name) for name in imported(AGENT / "disk.py")} <= {"errors", "model"}
    assert {first_part(name) for name in imported(AGENT / "paths.py")} <= {"model"}


def test_only_the_passes_know_the_order_of_the_steps() -> None:
    line = {"fetch", "plan", "publish", "sign", "sweep"}
    knowing = {
        path.stem for path in AGENT.glob("*.py") if len(line & {first_part(name) for name in imported(path)}) > 1
    }
    assert knowing == {"pass_", "full_pass"}


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


def test_the_agent_does_not_need_the_server() -> None:
    for path in AGENT.rglob("*.py"):
        if "demo" not in path.parts:
            assert not any(name.startswith("packrat_server") for name in imported(path)), path


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SRC)))
def test_a_module_opens_with_what_it_takes_gives_and_touches(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    first, _, rest = text.partition("\n\n")
    assert "\n" not in first, "the first paragraph is one line"
    assert first.endswith(".")
    assert re.match(r"Takes: .+\nGives: .+\nTouches: .+", re.sub(r"\n {2,}", " ", rest), re.DOTALL)


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
                "command" in ast.unparse(one) or "_of_a_session" in ast.unparse(one) for one in node.decorator_list
            )
            assert commands or len(arguments) <= PARAMETERS_LIMIT, f"{node.name} has {len(arguments)} parameters"


def test_the_servers_spellings_stay_in_the_module_that_talks_to_it() -> None:
    for path in AGENT.rglob("*.py"):
        if path.parent.name != "server":
            for word in ("deprocated", "distroversion_list", "manager_type", "filesystem_dir"):
                assert word not in path.read_text(), f"{word} in {path}"
