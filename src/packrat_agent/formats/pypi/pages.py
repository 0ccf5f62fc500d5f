"""Writes the pages of a simple index, one for each project and one for all projects, as HTML and as JSON.

1. Both forms of a page say the same.
2. Files are listed in the order of their versions, then of their names.
3. Addresses are relative, so that they work under any prefix of the site.

Source: Simple repository API (PEP 503, 592, 629, 658, 691, 700, 714).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from json.encoder import encode_basestring_ascii as quoted
from typing import NamedTuple
from urllib.parse import quote

from packrat_agent.formats.pypi.unpack import requires_python_of
from packrat_agent.formats.record_names import published_name
from packrat_agent.model.entries import Entry
from packrat_core.packages.python.spellings import version_of

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_VERSION = "1.0"
JSON_VERSION = "1.1"

_TOP = "../../"
"""Way from a project's page to the repository's directory."""


class Page(NamedTuple):
    """A page in both forms."""

    html: bytes
    json: bytes


class ListedFile(NamedTuple):
    """A distribution as a page lists it; a tuple, since one is made for each file.

    Attributes:
        url: relative to the project's page, percent-encoded.
        version: in the normal form of PEP 440.
        size: in bytes.
        requires_python: '' if the distribution does not say.
        metadata: the SHA-256 of its .metadata; None if it has none.
        created: the time of the upload; '' if it is not known.
        yanked: clients pass it over, unless they name its version.
    """

    name: str
    url: str
    version: str
    sha256: str
    size: int
    requires_python: str
    metadata: str | None
    created: str
    yanked: bool


def project_identity(files: Iterable[tuple[str, Entry]]) -> str:
    """Hash all that a project's pages say of files, given with their paths; much faster than writing them."""
    digest = hashlib.sha256(b"pypi 2\n")
    for path, entry in files:
        file, fragment = entry.file, entry.fragment
        metadata = _metadata(entry) or "-"
        line = f"{path} {file.sha256} {entry.size} {file.created} {fragment.version} {metadata}\n"
        # Pages without yanked files keep the identity that they had before there were any.
        digest.update(line.encode() + fragment.body + (b"\nyanked\n" if file.yanked else b"\n"))
    return digest.hexdigest()


def write_project(project: str, found: Iterable[tuple[str, Entry]]) -> Page:
    """Write the page of a project, given by its normalized name; `found`: its files with their paths."""
    files = [_indexed(path, entry) for path, entry in found]
    files.sort(key=lambda file: (version_of(file.version), file.name))
    return Page(_project_html(project, files), _project_json(project, files))


def write_root(projects: Sequence[str]) -> Page:
    """Write the page of all projects."""
    links = [f'<a href="{project}/">{project}</a><br>' for project in projects]
    # As json.dumps writes it, in a fifth of the time: a large repository has very many projects.
    listed = ",\n".join([f'{{"name": {quoted(project)}}}' for project in projects])
    return Page(_html("Simple index", "Simple index", links), _json('"projects"', listed))


def published_path(entry: Entry) -> str:
    """Return the path under which clients find a file: in its place, or beside that if it was renamed."""
    directory, _, file_name = entry.path.rpartition("/")
    published = published_name(file_name, entry.fragment)
    # The same text, since one is kept for each of 100,000 files.
    return entry.path if published == file_name else f"{directory}/{published}"


def _metadata(entry: Entry) -> str | None:
    for product in entry.fragment.products:
        if product.sha256:
            return product.sha256
    return None


def _indexed(path: str, entry: Entry) -> ListedFile:
    return ListedFile(
        name=path.rpartition("/")[2],
        url=_TOP + quote(path),
        version=str(version_of(entry.fragment.version)),
        sha256=entry.file.sha256,
        size=entry.size,
        requires_python=requires_python_of(entry.fragment),
        metadata=_metadata(entry),
        created=entry.file.created,
        yanked=entry.file.yanked,
    )


def _project_html(project: str, files: Sequence[ListedFile]) -> bytes:
    links = []
    for file in files:
        more = f' data-requires-python="{escape(file.requires_python)}"' if file.requires_python else ""
        if file.metadata is not None:
            # Not as `data-dist-info-metadata` as well, its older name: for pip 22.3 to 23.1, which know that alone, the
            # name of a project in its metadata must be spelled as it is asked for, so that `pip install pyyaml` fails.
            more += f' data-core-metadata="sha256={file.metadata}"'
        if file.yanked:
            # The value would be the reason, which the server does not know.
            more += ' data-yanked=""'
        links.append(f'<a href="{escape(file.url)}#sha256={file.sha256}"{more}>{escape(file.name)}</a><br>')
    return _html(f"Links for {project}", f"Links for {project}", links)


def _project_json(project: str, files: Sequence[ListedFile]) -> bytes:
    versions = list(dict.fromkeys(file.version for file in files))
    listed = ",\n".join([_file_json(file) for file in files])
    return _json(f'"name": {json.dumps(project)}, "versions": {json.dumps(versions)}, "files"', listed)


def _file_json(file: ListedFile) -> str:
    # As json.dumps writes it with sorted keys, in a third of the time.
    metadata = f'"core-metadata": {{"sha256": {quoted(file.metadata)}}}, ' if file.metadata is not None else ""
    requires = f'"requires-python": {quoted(file.requires_python)}, ' if file.requires_python else ""
    created = f'"upload-time": {quoted(file.created)}, ' if file.created else ""
    return (
        f'{{{metadata}"filename": {quoted(file.name)}, "hashes": {{"sha256": {quoted(file.sha256)}}}, {requires}'
        f'"size": {file.size}, {created}"url": {quoted(file.url)}, "yanked": {"true" if file.yanked else "false"}}}'
    )


def _html(title: str, heading: str, lines: Sequence[str]) -> bytes:
    page = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta name="pypi:repository-version" content="{HTML_VERSION}">',
        f"<title>{title}</title></head><body>",
        f"<h1>{heading}</h1>",
        *lines,
        "</body></html>",
    ]
    return ("\n".join(page) + "\n").encode()


def _json(opening: str, listed: str) -> bytes:
    body = f"\n{listed}\n" if listed else ""
    return f'{{"meta": {{"api-version": "{JSON_VERSION}"}}, {opening}: [{body}]}}\n'.encode()
