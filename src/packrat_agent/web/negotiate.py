"""Chooses which form of a directory's index page a client gets.

Source: RFC 9110 12.5.1; PEP 691, "Version + Format Selection".
"""

import re
from collections.abc import Mapping
from pathlib import Path

_JSON_NAMES = ("application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.latest+json")
_HTML_NAMES = (
    "text/html",
    "application/vnd.pypi.simple.v1+html",
    "application/vnd.pypi.simple.latest+html",
    "text/*",
    "*/*",
)
_HTML, _JSON = "index.html", "index.v1_json"
_QUALITY = re.compile(r"q=([01](?:\.\d{0,3})?)", re.IGNORECASE)

TYPES: Mapping[str, str] = {"v1_json": _JSON_NAMES[0]}
"""File endings → types, of what only some clients ask for."""

VARYING: Mapping[str, str] = {"Vary": "Accept"}


def choose_index(directory: Path, accept: str) -> tuple[Path, Mapping[str, str]] | None:
    """Give the index page and its headers; None if there is none. What is not clearly asked for in JSON is HTML."""
    html, json = directory / _HTML, directory / _JSON
    if not json.is_file():
        return (html, {}) if html.is_file() else None
    wanted = read_accept(accept)
    json_quality = max(wanted.get(name, 0.0) for name in _JSON_NAMES)
    html_quality = max(wanted.get(name, 0.0) for name in _HTML_NAMES)
    prefers_json = json_quality > 0 and json_quality >= html_quality
    return (json if prefers_json or not html.is_file() else html), VARYING


def read_accept(header: str) -> dict[str, float]:
    """Map the media types that a client takes to how much it likes each, 0 to 1."""
    wanted: dict[str, float] = {}
    for item in header.split(",")[:50]:
        name, *parameters = (part.strip() for part in item.split(";"))
        found = [match[1] for part in parameters if (match := _QUALITY.fullmatch(part))]
        wanted[name.lower()] = min(1.0, float(found[0])) if found else 1.0
    return wanted
