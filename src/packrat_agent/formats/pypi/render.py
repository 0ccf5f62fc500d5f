"""Renders a pypi repository: a page for each project, and the root page that lists the projects.

The page of a project is a publication of its own. A change renders the pages of the projects that it touches, and the
root page if a project came or went; the other ones are those of the last render.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from packrat_agent.formats.interface import Change, ChunkCache, RenderRequest
from packrat_agent.formats.pypi.layout import HTML_PAGE, JSON_PAGE, SIMPLE, project_directory
from packrat_agent.formats.pypi.pages import Page, project_identity, write_project, write_root
from packrat_agent.formats.pypi.projects import Projects
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, Publication, TreeFile, TreeLink

_ROOT_PUBLICATION = f"{SIMPLE}/"
"""Name of the root page's publication; a project can't have it."""

_CODING = "pypi-pages-1"
_LAST = "last"
"""Key in the memo for the last render."""


@dataclass(slots=True)
class _LastRender:
    """The projects, and their publications in the order of their names; '' is the root page's."""

    projects: Projects = field(default_factory=Projects)
    publications: dict[str, Publication] = field(default_factory=dict)


def render_repository(request: RenderRequest) -> tuple[Publication, ...]:
    """Render one publication for each project, then that of the root page."""
    last: _LastRender | None = request.memo.get(_LAST)
    change = request.change
    if last is None or change is None:
        last, change = _LastRender(), Change((), request.entries)
        request.memo[_LAST] = last
    projects, before = last.projects, last.publications
    touched = projects.replace(change.gone, change.new)
    present = projects.names()
    is_list_same = "" in before and before.keys() - {""} == present
    for name in touched.intersection(present):
        files = projects.files(name)
        before[name] = _render_project(name, files, projects.links(files), request.chunks)
    if not is_list_same:
        names = sorted(present)
        last.publications = {name: before[name] for name in names} | {"": _render_root(names)}
    return tuple(last.publications.values())


def _render_project(
    name: str, files: Sequence[tuple[str, Entry]], links: Sequence[TreeLink], chunks: ChunkCache
) -> Publication:
    """Render the page of a project.

    Args:
        name: its normalized name.
        files: its files, each behind the path under which clients find it.
        links: the links from the former places of these.
        chunks: what was rendered before.
    """
    pages = project_identity(files)
    page = _cached_page(pages, chunks)
    if page is None:
        page = write_project(name, files)
        chunks.put(_CODING, pages, len(page.html).to_bytes(8, "big") + page.html + page.json)
    # Projects without such links keep the identity that they had before there were any.
    told = "".join(f"\n{link.path} {link.target}" for link in links)
    identity = hashlib.sha256((pages + told).encode()).hexdigest() if links else pages
    return Publication(name, identity, tuple(links), _pointers(project_directory(name), page))


def _cached_page(identity: str, chunks: ChunkCache) -> Page | None:
    cached = chunks.get(_CODING, identity)
    if cached is None:
        return None
    # `_render_project` stores the length of the HTML page (8 bytes, big-endian), that page, and the JSON page.
    middle = 8 + int.from_bytes(cached[:8], "big")
    return Page(cached[8:middle], cached[middle:])


def _render_root(projects: Sequence[str]) -> Publication:
    page = write_root(projects)
    identity = hashlib.sha256(page.html + page.json).hexdigest()
    return Publication(_ROOT_PUBLICATION, identity, (), _pointers(SIMPLE, page))


def _pointers(directory: str, page: Page) -> tuple[TreeFile, ...]:
    return (
        TreeFile(f"{directory}/{JSON_PAGE}", Content.of(page.json)),
        TreeFile(f"{directory}/{HTML_PAGE}", Content.of(page.html)),
    )
