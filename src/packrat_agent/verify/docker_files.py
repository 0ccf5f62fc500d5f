"""Reads the JSON files of a docker repository for its audit."""

import re
from collections.abc import Mapping
from typing import Any

from packrat_agent.verify.findings import Finding, Subject, parse_json, read_pointer


def read_json(subject: Subject, path: str, found: list[Finding]) -> tuple[bytes | None, Any]:
    """Read a JSON file that nothing else names.

    Args:
        subject: The tree under audit.
        path: Path of the file, relative to the top.
        found: The file is appended to it, or what is wrong with it.

    Returns:
        Its content and its value; None for what can't be read.
    """
    content = read_pointer(subject, path, found)
    return content, parse_json(path, content, found)


def strings_of(value: Any, key: str, pattern: str) -> list[str] | None:
    """Return a list of strings from a JSON value.

    Args:
        value: The value, unchecked.
        key: Key of the list.
        pattern: Regular expression that each string must match as a whole.

    Returns:
        The list; None if there is none, or if an item is something else.
    """
    listed = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(listed, list) or not all(
        isinstance(name, str) and re.fullmatch(pattern, name) for name in listed
    ):
        return None
    return listed
