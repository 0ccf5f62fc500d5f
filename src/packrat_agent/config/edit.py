"""Changes single values in a configuration file, and leaves every other line as it is.

text = change(text, "mirror", {"gpg_sign_key": new, "gpg_next_key": None})
save(path, text)
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from packrat_agent.config.ini import KEY, SECTION, indent_of
from packrat_core.errors import ConfigError
from packrat_core.fs.atomic import write_whole

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")


def change(text: str, section: str, values: Mapping[str, str | None]) -> str:
    """Set and remove keys of one section.

    Args:
        text: The whole file, which can be read without a fault.
        section: The name of the section, such as `mirror` or `repo apt-prod`.
        values: Key → its value, on one line; None: it goes. New keys stand behind the first of `values` that is there.

    Raises:
        ConfigError: The section has none of the keys.
    """
    lines = [line for line in _LINE.findall(text) if line]
    places = _find(lines, section, frozenset(values))
    if not places:
        raise ConfigError(f"[{section}] has none of {', '.join(values)}", hint="edit the file by hand")
    first = min(start for start, _ in places.values())
    end = "\r\n" if lines[first].endswith("\r\n") else "\n"
    # Where keys are indented, one that is not would take the next ones for lines of its value.
    indent = lines[first][: indent_of(lines[first])]
    changed: dict[int, list[str]] = {}
    for key, (start, stop) in places.items():
        changed |= {number: [] for number in range(start, stop)}
        value = values[key]
        changed[start] = [] if value is None else [f"{lines[start][: indent_of(lines[start])]}{key}: {value}{end}"]
    new = [f"{indent}{key}: {value}{end}" for key, value in values.items() if value is not None and key not in places]
    changed[first] = [*changed[first], *new]
    written = []
    for number, line in enumerate(lines):
        if number in changed:
            written += changed[number]
        else:
            written.append(line)
    return "".join(written)


def _find(lines: list[str], section: str, keys: frozenset[str]) -> dict[str, tuple[int, int]]:
    """Map key → the lines of its value, from and up to, as `ini.parse` reads them."""
    found: dict[str, tuple[int, int]] = {}
    here = False
    # The key whose value the next line may continue, also one that nobody asked for.
    last: str | None = None
    key_indent = 0
    for number, raw in enumerate(lines):
        line = raw.strip().lstrip("\ufeff")
        if not line:
            last = None
        elif line[0] in "#;":
            continue
        elif last is not None and indent_of(raw) > key_indent:
            if last in found:
                found[last] = (found[last][0], number + 1)
        elif (match := SECTION.fullmatch(line)) is not None:
            here, last = " ".join(match[1].split()) == section, None
        elif (match := KEY.fullmatch(line)) is not None:
            key = match[1].strip().lower()
            last, key_indent = (key if here else ""), indent_of(raw)
            if here and key in keys:
                found[key] = (number, number + 1)
    return found


def save(path: Path, text: str) -> None:
    """Replace a configuration file in one step, with the owner and the mode that it has.

    Raises:
        OSError: This user may not write there.
        DiskError: The disk fails, or this user may not give it its owner.
    """
    target = path.resolve()
    known = target.lstat()
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(13, "this user may not write there", str(target.parent))
    write_whole(target, text.encode(), known.st_mode & 0o777, owner=(known.st_uid, known.st_gid))
