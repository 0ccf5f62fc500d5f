"""Writes out every byte that the pages of a Python index should have, given the values in their JSON.

JSON and HTML can express the same values in many ways, and each client reads one of the two. `verify` therefore parses
the values, has both forms of the page written from them here, and compares.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_OPTIONAL = frozenset({"requires-python", "core-metadata", "upload-time"})
_KEYS = frozenset({"filename", "url", "hashes", "size", "yanked"})
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")


def spell_root(projects: Sequence[str]) -> tuple[bytes, bytes]:
    """Return the list of projects as JSON and as HTML."""
    links = [f'<a href="{project}/">{project}</a><br>' for project in projects]
    listed = [json.dumps({"name": project}) for project in projects]
    return _json('"projects"', listed), _html("Simple index", links)


def spell_project(project: str, versions: Sequence[str], files: Sequence[Mapping[str, Any]]) -> tuple[bytes, bytes]:
    """Return the page of a project as JSON and as HTML.

    Args:
        project: Normalized name of the project.
        versions: Its versions, in order.
        files: Its files as they are in the JSON, in order.
    """
    listed = [json.dumps(file, sort_keys=True) for file in files]
    opening = f'"name": {json.dumps(project)}, "versions": {json.dumps(versions)}, "files"'
    return _json(opening, listed), _html(f"Links for {project}", [_link(file) for file in files])


def find_unusual(file: Mapping[str, Any]) -> str | None:
    """Return what in the JSON of a file differs from what the agent writes, or None."""
    unknown = file.keys() - _KEYS - _OPTIONAL
    if unknown or not file.keys() >= _KEYS:
        return f"has other keys than it should: {sorted(unknown)[:3] or sorted(_KEYS - file.keys())}"
    if not is_mark(file["yanked"]):
        return f"has a yanked that is neither true, false nor a reason: {str(file['yanked'])[:40]!r}"
    time = file.get("upload-time")
    if time is not None and not (isinstance(time, str) and _TIME.fullmatch(time)):
        return f"has an upload-time that is not a time: {str(time)[:40]!r}"
    return None


def is_mark(yanked: object) -> bool:
    """Return whether a value may stand in `yanked`: true, false, or a reason, which is one line of text."""
    return isinstance(yanked, bool) or (isinstance(yanked, str) and yanked != "" and yanked.isprintable())


def _link(file: Mapping[str, Any]) -> str:
    requires = str(file.get("requires-python", ""))
    more = f' data-requires-python="{escape(requires)}"' if requires else ""
    if "core-metadata" in file:
        more += f' data-core-metadata="sha256={file["core-metadata"]["sha256"]}"'
    if file["yanked"] is not False:
        more += f' data-yanked="{escape(file["yanked"]) if isinstance(file["yanked"], str) else ""}"'
    address = f"{escape(file['url'])}#sha256={file['hashes']['sha256']}"
    return f'<a href="{address}"{more}>{escape(file["filename"])}</a><br>'


def _json(opening: str, listed: Sequence[str]) -> bytes:
    body = "\n" + ",\n".join(listed) + "\n" if listed else ""
    return f'{{"meta": {{"api-version": "1.1"}}, {opening}: [{body}]}}\n'.encode()


def _html(title: str, links: Iterable[str]) -> bytes:
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="pypi:repository-version" content="1.0">',
        f"<title>{title}</title></head><body>",
        f"<h1>{title}</h1>",
        *links,
        "</body></html>",
    ]
    return ("\n".join(lines) + "\n").encode()
