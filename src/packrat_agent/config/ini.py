"""Reads an INI file, with the line of each value, so that every fault can name its line."""

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packrat_core.errors import ConfigError
from packrat_core.fs.open import read_given
from packrat_core.fs.ownership import explain_unread

SECTION = re.compile(r"\[([^\]]*)\]\s*(?:[#;].*)?")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~-]{0,199}")
KEY = re.compile(r"([^:=]+)[:=](.*)")
# What editors count as lines: str.splitlines splits at more characters.
LINE_END = re.compile(r"\r\n|\n|\r")
_SHOWN = 60
_FAULTS_LIMIT = 50
_SIZE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Value:
    """One value with its line number; lines that continue it are joined by newlines."""

    text: str
    line: int


def read_text(path: Path) -> str:
    """Read the configuration file.

    Raises:
        ConfigError: It is missing, can't be read, is too long or is not UTF-8.
    """
    try:
        data = read_given(path, _SIZE_LIMIT)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration file {path}",
            hint="`packrat-agent init` makes one; or name another with --config",
        ) from None
    except PermissionError as error:
        raise ConfigError(f"can't read {path}: {explain_unread(path, error)}") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ConfigError(f"{path} {error.strerror}; that can't be a mirror.conf") from None
        hint = "name the file with --config"
        raise ConfigError(f"can't read {path}: {error.strerror or error}", hint=hint) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8", hint="save the file as UTF-8") from None


def parse(
    text: str, path: Path, keys: Mapping[str, frozenset[str]], repeatable: frozenset[str]
) -> tuple[dict[tuple[str, str], list[Value]], list[str]]:
    """Parse `key: value` and `key = value` lines.

    Args:
        text: The whole file.
        path: Its name, for the faults.
        keys: Section → the keys that may stand in it. `repo NAME` stands for all sections `[repo …]`.
        repeatable: Keys that may stand several times.

    Returns:
        (section, key) → its values, without empty ones; and the faults. A fault names its line and, for a wrong name,
        the nearest right one.
    """
    found: dict[tuple[str, str], list[Value]] = {}
    faults: list[str] = []
    section: str | None = None
    last: tuple[str, str] | None = None
    key_indent = 0
    for number, raw in enumerate(LINE_END.split(text), start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            # A comment may stand between the lines of one value; an empty line ends the value.
            last = last if line else None
            continue
        if last is not None and indent_of(raw) > key_indent:
            value = found[last][-1]
            found[last][-1] = Value(f"{value.text}\n{line}".strip("\n"), value.line)
            continue
        last, key_indent = None, indent_of(raw)
        if line.startswith("["):
            section, fault = _section(line, keys)
        elif section is None:
            fault = "this line stands before the first section; begin the file with [packrat]"
        elif (kind := _kind(section)) not in keys:
            # The section's own line was faulted; its keys would only repeat that.
            fault = ""
        else:
            last, fault = _key(line, number, section, keys[kind], found, repeatable)
        if fault:
            faults.append(f"{path}, line {number}: {fault}")
        if len(faults) >= _FAULTS_LIMIT:
            # The file is probably something else.
            faults.append(f"{path}: the lines after that were not read")
            break
    return {name: kept for name, values in found.items() if (kept := [value for value in values if value.text])}, faults


def indent_of(raw: str) -> int:
    """Count the blanks before a line: one that has more than the line of its key continues that key's value."""
    return len(raw) - len(raw.lstrip(" \t"))


def find_foreign_syntax(text: str) -> str:
    """Name syntax of other programs' files that a value has, where it is part of the value; '' if it has none."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return "quotes belong to the value: leave them out"
    if re.search(r"\s[#;]", text):
        return "a comment after a value belongs to the value: give it a line of its own"
    return find_unreplaced(text)


def find_unreplaced(text: str) -> str:
    """Name what other parsers, the original agent's among them, replace in a value; '' if it has none."""
    # The value may be a secret: nothing of it is shown.
    if re.search(r"%\([^)]*\)s", text):
        return "%(…)s is not replaced by the value of a key: write that out"
    if re.search(r"\$\{[^}]*\}", text):
        return "${…} is not replaced by the value of a key: write that out"
    return "%% stays two percent signs: write one where you mean one" if "%%" in text else ""


def _section(line: str, keys: Mapping[str, frozenset[str]]) -> tuple[str, str]:
    match = SECTION.fullmatch(line)
    if match is None:
        return "", f"{line[:_SHOWN]!r} is not a section; it should be [packrat] or [mirror]"
    name = " ".join(match[1].split())
    if _kind(name) not in keys:
        return name, f"there is no section [{name[:_SHOWN]}]{_nearest(_kind(name), keys)}"
    if _kind(name) != name and not _NAME.fullmatch(name.partition(" ")[2]):
        return "", f"[{name[:_SHOWN]}] needs one name, as it is on the packrat server: [{_kind(name)}]"
    return name, ""


def _kind(section: str) -> str:
    """Give the name under which the keys of a section are known: `repo NAME` for `repo apt-prod`."""
    word, separator, _ = section.partition(" ")
    return f"{word} NAME" if separator else section


def _key(
    line: str,
    number: int,
    section: str,
    known: frozenset[str],
    found: dict[tuple[str, str], list[Value]],
    repeatable: frozenset[str],
) -> tuple[tuple[str, str] | None, str]:
    match = KEY.fullmatch(line)
    if match is None:
        return None, "this line is not `key: value`"
    name = match[1].strip().lower()
    if name not in known:
        return None, f"[{section}] has no key {name[:_SHOWN]!r}{_nearest(name, known)}"
    values = found.setdefault((section, name), [])
    if values and name not in repeatable:
        return None, f"{name} was already given in line {values[0].line}; remove one of the two"
    values.append(Value(match[2].strip(), number))
    return (section, name), ""


def _nearest(name: str, known: Mapping[str, object] | frozenset[str]) -> str:
    # Most files have no wrong name, and monitoring reads one every minute.
    import difflib

    close = difflib.get_close_matches(name[:_SHOWN].lower(), sorted(known), 1, 0.5)
    return f"; did you mean {close[0]}?" if close else f"; it may be one of: {', '.join(sorted(known))}"
