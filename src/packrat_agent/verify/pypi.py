"""Audits a Python index as clients read it: the list of projects → each project, as HTML and as JSON → every file.

The audit only reads the repository.

Source: Simple repository API (PEP 503, 592, 629, 658, 691, 700, 714).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from packrat_agent.verify.findings import (
    Fault,
    Finding,
    Named,
    Subject,
    check_bytes,
    is_plain,
    parse_json,
    read_index,
    read_pointer,
)
from packrat_agent.verify.match_paths import match_paths
from packrat_agent.verify.pypi_spelling import find_unusual, spell_project, spell_root
from packrat_agent.verify.read_page import read_page

# Imported where they are needed, since that takes longer than to verify a small tree of another type.
if TYPE_CHECKING:
    from packaging.version import Version

_HTML, _JSON = "index.html", "index.v1_json"
_UP = "../../"
_SHA256 = re.compile(r"(?:sha256=)?([0-9a-f]{64})")
_PROJECT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class _Link:
    """One file as a page lists it, in a form common to HTML and JSON.

    `metadata` is '' if there is none. `yanked` is the reason, '' if none is given, and None if the file is not yanked.
    """

    name: str
    url: str
    sha256: str
    metadata: str
    requires_python: str
    yanked: str | None


def audit_pypi(subject: Subject, directory: str) -> Iterator[Finding]:
    """Audit the list of projects, then each project."""
    simple = f"{directory}/simple"
    found: list[Finding] = []
    listed, links = _read_pages(subject, simple, found)
    by_json = _names(listed)
    if listed is not None and by_json is None:
        found.append(Fault(f"{simple}/{_JSON}", "does not list projects"))
    by_html = [link["href"].removesuffix("/") for link in links] if links is not None else None
    if by_json is not None and by_html is not None and by_json != by_html:
        found.append(Fault(f"{simple}/{_HTML}", f"lists other projects than {_JSON}"))
    if by_json is not None and by_json == by_html:
        found += _check_pages(subject, simple, spell_root(by_json))
    yield from found
    # If the two forms disagree, a client may ask for the projects of either.
    projects = list(dict.fromkeys([*(by_json or ()), *(by_html or ())]))
    for project in projects:
        if not _PROJECT.fullmatch(project):
            yield Fault(f"{simple}/{_HTML}", f"names a project that can't be asked for: {project[:100]!r}")
            continue
        yield from _audit_project(subject, directory, project)
    if by_json is None and by_html is None:
        return
    for name in sorted(path.parent.name for path in match_paths(subject.top / simple, f"*/{_JSON}")):
        if name not in projects:
            yield Fault(f"{simple}/{name}", "has a page, but the index does not name this project")


def _audit_project(subject: Subject, directory: str, project: str) -> Iterator[Finding]:
    page = f"{directory}/simple/{project}"
    found: list[Finding] = []
    value, links = _read_pages(subject, page, found)
    by_html = [_from_html(link) for link in links] if links is not None else None
    by_json = None
    match value:
        case {"name": str(name), "files": list(files)} if name == project:
            by_json = [_from_json(file) for file in files]
            yield from _audit_files(subject, directory, f"{page}/{_JSON}", by_json, [_size(file) for file in files])
        case None:
            pass
        case _:
            found.append(Fault(f"{page}/{_JSON}", f"does not list the files of {project}"))
    if by_html is not None:
        yield from _audit_files(subject, directory, f"{page}/{_HTML}", by_html, [None] * len(by_html))
    # If both forms agree and are readable, also compare the bytes; otherwise that would report the same fault again.
    if by_html is not None and by_json is not None:
        if _without_marks(by_html) != _without_marks(by_json):
            found.append(Fault(f"{page}/{_HTML}", f"lists other files than {_JSON}"))
        elif None not in by_json:
            found += _check_project(subject, page, value, same_marks=by_html == by_json)
    yield from found


def _without_marks(links: Sequence[_Link | None]) -> list[_Link | None]:
    return [replace(link, yanked=None) if link is not None else None for link in links]


def _check_project(subject: Subject, page: str, value: Mapping[str, Any], *, same_marks: bool) -> Iterator[Finding]:
    """Compare every byte of both pages of a project with what it should be; only upload-time is free.

    Args:
        subject: The tree under audit.
        page: Directory of the page.
        value: The value of its JSON; its files are known to be readable.
        same_marks: Whether both pages yank the same files, for the same reasons.
    """
    # The pages can be written out only from values that have the usual form.
    project, files, versions = value["name"], value["files"], value.get("versions")
    for file in files:
        if (unusual := find_unusual(file)) is not None:
            yield Fault(f"{page}/{_JSON}", f"{file.get('filename')!r} {unusual}")
            return
    if not same_marks:
        yield Fault(f"{page}/{_HTML}", f"yanks other files than {_JSON}, or for other reasons")
        return
    if not isinstance(versions, list) or not all(isinstance(version, str) for version in versions):
        yield Fault(f"{page}/{_JSON}", "does not list the versions")
        return
    named = {_version_in(file["filename"]) for file in files}
    if None not in named and named != {_read_version(version) for version in versions}:
        yield Fault(f"{page}/{_JSON}", f"lists other versions than those of its files: {versions}"[:200])
    yield from _check_pages(subject, page, spell_project(project, versions, files))


def _check_pages(subject: Subject, directory: str, wanted: tuple[bytes, bytes]) -> Iterator[Finding]:
    for name, text in zip((_JSON, _HTML), wanted, strict=True):
        # An unreadable page was reported when it was first read.
        with suppress(OSError):
            yield from check_bytes(f"{directory}/{name}", read_index(subject.top, f"{directory}/{name}"), text)


def _version_in(file_name: str) -> "Version | None":
    """Return the version in a file name; None if the name does not reveal it."""
    from packaging.utils import parse_sdist_filename, parse_wheel_filename

    parse = parse_wheel_filename if file_name.endswith(".whl") else parse_sdist_filename
    with suppress(ValueError):
        return parse(file_name)[1]
    return None


def _read_version(text: str) -> "Version | None":
    from packaging.version import Version

    with suppress(ValueError):
        return Version(text)
    return None


def _audit_files(
    subject: Subject, directory: str, page: str, links: Sequence[_Link | None], sizes: Sequence[int | None]
) -> Iterator[Finding]:
    from packrat_agent.verify.distributions import find_wrong_distribution

    for link, size in zip(links, sizes, strict=True):
        path = unquote(link.url.removeprefix(_UP), errors="replace") if link is not None else ""
        if link is None or not link.url.startswith(_UP) or not is_plain(path):
            yield Fault(page, f"names a file without a usable address or hash: {repr(link)[:200]}")
            continue
        # Some clients use the link text as the file name, others the URL, so the two must be equal.
        if path.rpartition("/")[2] != link.name:
            yield Fault(page, f"calls {link.name!r} what stands at {path}")
        look = partial(find_wrong_distribution, subject.top / directory / path, link.name, link.metadata)
        yield Named(f"{directory}/{path}", link.sha256, size, page, look)
        if link.metadata:
            yield Named(f"{directory}/{path}.metadata", link.metadata, None, page)


def _read_pages(
    subject: Subject, directory: str, found: list[Finding]
) -> tuple[Any, Sequence[Mapping[str, str]] | None]:
    """Read a page in both forms.

    Args:
        subject: The tree under audit.
        directory: Directory of the page.
        found: Findings are appended to it.

    Returns:
        The value of the JSON and the links of the HTML; None for each that can't be read.
    """
    value = parse_json(f"{directory}/{_JSON}", read_pointer(subject, f"{directory}/{_JSON}", found), found)
    html = read_pointer(subject, f"{directory}/{_HTML}", found)
    if html is None:
        return value, None
    try:
        return value, read_page(html)
    except ValueError as error:
        found.append(Fault(f"{directory}/{_HTML}", str(error)))
        return value, None


def _names(value: Any) -> list[str] | None:
    match value:
        case {"projects": list(listed)} if all(
            isinstance(project, dict) and isinstance(project.get("name"), str) for project in listed
        ):
            return [project["name"] for project in listed]
    return None


def _from_html(link: Mapping[str, str]) -> _Link | None:
    url, _, fragment = link["href"].partition("#")
    metadata = link.get("data-core-metadata", "")
    if not fragment.startswith("sha256="):
        return None
    requires = link.get("data-requires-python", "")
    return _link(link["text"], url, fragment, metadata, requires, link.get("data-yanked"))


def _from_json(value: Any) -> _Link | None:
    match value:
        case {"filename": str(name), "url": str(url), "hashes": {"sha256": str(sha256)}, "size": int()}:
            core = value.get("core-metadata", {})
            metadata, requires = core.get("sha256", "") if isinstance(core, dict) else "?", value.get("requires-python")
            yanked = value.get("yanked") or None
            mark = "" if yanked is True else yanked
            return _link(name, url, sha256, str(metadata), str(requires or ""), None if mark is None else str(mark))
    return None


def _link(name: str, url: str, sha256: str, metadata: str, requires_python: str, yanked: str | None) -> _Link | None:
    of_file, of_metadata = _SHA256.fullmatch(sha256), _SHA256.fullmatch(metadata)
    if of_file is None or (metadata and of_metadata is None):
        return None
    core = of_metadata[1] if of_metadata is not None else ""
    return _Link(name, url, of_file[1], core, requires_python, yanked)


def _size(value: Any) -> int | None:
    size = value.get("size") if isinstance(value, dict) else None
    return size if isinstance(size, int) else None
