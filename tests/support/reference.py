"""Writes docs/reference.md from the code: log words, metrics, exit codes, settings.

python -m support.reference      # `make reference` does it
"""

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from pathlib import Path

from packrat_agent.config.fields import FIELDS
from packrat_agent.config.settings import MirrorSettings, PackratSettings
from packrat_core import errors
from packrat_core.errors import PackratError

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs/reference.md"
_LEVELS = ("debug", "info", "warning", "error")
_PROGRAMS = {"packrat_agent": "packrat-agent", "packrat_core": "both", "packrat_server": "packrat-server"}
_HEAD = """\
# Reference

What the programs log, measure, exit with and read. `make reference` makes this page from the code, and a test holds the
two together.

"""
_WORDS = """\
## Log words

A line of the log is a time, a level, a word and fields. [operations.md](operations.md#log-words) says what each word of
the agent means, and what to do about it. A field in brackets is not in every line of the word.

"""
_METRICS = """\
## Metrics of the agent

[operations.md](operations.md#metrics) says how to read them, and which alarms are worth having.

"""
_CODES = """\
## Exit codes

[operations.md](operations.md#exit-codes) says what to do about each; [server.md](server.md#exit-codes) has those of the
server.

"""
_SETTINGS = """\
## Settings

The keys of `mirror.conf`; [configuration.md](configuration.md) explains each. Times are in seconds, sizes in bytes. The
sections `[repo NAME]` and `[tag NAME]` may stand several times.

"""


def write_reference() -> str:
    """Write the page."""
    parts = [_HEAD, _WORDS]
    words = _log_words()
    for program in _PROGRAMS.values():
        rows = [(f"`{word}`", level, told) for (owner, word, level), told in words.items() if owner == program]
        name = "both programs" if program == "both" else program
        parts.append(f"### Of {name}\n\n" + _table(("word", "level", "fields"), rows) + "\n")
    parts += [_METRICS, _table(("name", "labels", "meaning"), _metrics()), "\n"]
    parts += [_CODES, _table(("code", "meaning"), _exit_codes()), "\n"]
    parts += [_SETTINGS, _table(("section", "key", "default"), _settings())]
    return "".join(parts)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _log_words() -> dict[tuple[str, str, str], str]:
    """Map (program, word, level) to the fields of its lines."""
    found: dict[tuple[str, str, str], list[set[str]]] = {}
    for package, program in _PROGRAMS.items():
        for path in sorted((TOP / "src" / package).rglob("*.py")):
            for word, level, names in _log_calls(ast.parse(path.read_text())):
                found.setdefault((program, word, level), []).append(names)
    return {key: _tell_fields(lines) for key, lines in sorted(found.items())}


def _log_calls(tree: ast.AST) -> Iterator[tuple[str, str, set[str]]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("log"), attr=level), args=[word, *_]) if level in _LEVELS:
                if (text := _word(word)) is not None:
                    yield text, level, {keyword.arg or "…" for keyword in node.keywords}


def _word(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.JoinedStr(parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "NAME" for part in parts)
    return None


def _tell_fields(lines: Sequence[set[str]]) -> str:
    always = set.intersection(*lines)
    names = sorted(set.union(*lines), key=lambda name: (name not in always, name == "…", name))
    return ", ".join(name if name == "…" else f"`{name}`" if name in always else f"[`{name}`]" for name in names)


def _metrics() -> list[tuple[str, str, str]]:
    tree = ast.parse((TOP / "src/packrat_agent/status/prometheus.py").read_text())
    texts = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name("_gauge" | "_known" | "_family"), args=[ast.Constant(str(name)), told, *more]):
                text = told.value if isinstance(told, ast.Constant) else texts[getattr(told, "id", "")]
                labels = [str(label.value) for label in more if isinstance(label, ast.Constant)]
                found.append((f"packrat_agent_{name}", labels, text))
            case ast.Call(func=ast.Name("GaugeMetricFamily"), args=[ast.Constant(str(name)), ast.Constant(text)]):
                [labels_of] = [ast.literal_eval(given.value) for given in node.keywords if given.arg == "labels"]
                found.append((name, list(labels_of), text))
    return [
        (f"`{name}`", ", ".join(f"`{label}`" for label in labels), str(text)) for name, labels, text in sorted(found)
    ]


def _exit_codes() -> list[tuple[str, str]]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PackratError)]
    first: dict[int, str] = {0: "All is well."}
    for kind in kinds:
        # A command never ends with one that is told and left out.
        if not issubclass(kind, errors.Refused):
            told = (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")
            first.setdefault(kind.exit_code, "An internal error." if kind is PackratError else told)
    return [(str(code), told) for code, told in sorted(first.items())]


def _settings() -> list[tuple[str, str, str]]:
    defaults = {
        (section, field.name): field.default
        for section, settings in (("packrat", PackratSettings), ("mirror", MirrorSettings))
        for field in fields(settings)
    }
    rows = []
    for row in FIELDS:
        default = defaults.get((row.section, row.field), MISSING)
        told = (
            "required"
            if row.required
            else ""
            if default in (MISSING, None, "", frozenset())
            else f"`{_plain(default)}`"
        )
        anchor = re.sub(r"[^\w-]", "", row.key)
        rows.append((f"`[{row.section}]`", f"[`{row.key}`](configuration.md#{anchor})", told))
    return rows


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(getattr(value, "value", value))


if __name__ == "__main__":
    PAGE.write_text(write_reference())
