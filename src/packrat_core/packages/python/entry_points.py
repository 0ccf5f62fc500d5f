"""Checks the entry_points.txt of a wheel, from which clients write scripts: pip ends at one that it can't read.

1. It is in UTF-8.
2. Each line below the head of a group is `name = value`, or a comment, which begins with `#`.
3. The value of a script names a callable, as in `module:function`; only extras stand in brackets.
4. The name of a script is that of a file below the directory of scripts. Earlier releases of pip, as Debian 12 has,
   write outside of it what has such a name.

    check_entry_points(b"[console_scripts]\\ntool = tool:main\\n")

Source: Entry points specification, packaging.python.org; importlib.metadata and distlib, by which pip reads.
"""

import posixpath
import re

from packrat_core.errors import Refused

_SCRIPTS = ("console_scripts", "gui_scripts")
_VALUE = re.compile(r"(\w+(?:[:.]\w+)*)\s*(\[\s*[\w-]+(?:=\w+)?(?:,\s*\w+(?:=\w+)?)*\s*\])?")
_FILE_NAME_BYTES = 255
_SHOWN_LIMIT = 60
_ADVICE = "pip refuses the wheel; correct it and rebuild the wheel"


def check_entry_points(content: bytes) -> None:
    """Check an entry_points.txt.

    Raises:
        Refused: pip can't read it, or would write a script elsewhere than among the scripts.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("its entry_points.txt is not UTF-8", hint=_ADVICE) from None
    group = None
    # Among entries with the same name the last counts; only that is ever read.
    scripts: dict[tuple[str, str], str] = {}
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
            continue
        # Lines above the first group are passed over.
        if group is None:
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise Refused(f"its entry_points.txt has a line without '=': {line[:_SHOWN_LIMIT]!r}", hint=_ADVICE)
        if group in _SCRIPTS:
            scripts[group, name.strip()] = value.strip()
    for (_, name), value in scripts.items():
        _check_script(name, value)


def _check_script(name: str, value: str) -> None:
    match = _VALUE.match(value)
    if match is None or match[1].count(":") != 1:
        raise Refused(
            f"its entry_points.txt has a script {name[:_SHOWN_LIMIT]!r} that names no callable as module:function: "
            f"{value[:_SHOWN_LIMIT]!r}",
            hint=_ADVICE,
        )
    if match[2] is None and re.search(r"[\[\]]", name + value):
        raise Refused(
            f"its entry_points.txt has a script {name[:_SHOWN_LIMIT]!r} with brackets that hold no extras: "
            f"{value[:_SHOWN_LIMIT]!r}",
            hint=_ADVICE,
        )
    # Backslashes separate names on Windows.
    parts = name.replace("\\", "/").split("/")
    if posixpath.isabs(name) or ".." in parts or (name and parts[-1] in ("", ".")):
        raise Refused(
            f"its entry_points.txt has a script outside the directory of scripts: {name[:_SHOWN_LIMIT]!r}", hint=_ADVICE
        )
    if any(len(part.encode()) > _FILE_NAME_BYTES for part in parts):
        raise Refused(
            f"its entry_points.txt has a script with a name of more than {_FILE_NAME_BYTES} bytes, "
            f"{name[:_SHOWN_LIMIT]!r}",
            hint=_ADVICE,
        )
