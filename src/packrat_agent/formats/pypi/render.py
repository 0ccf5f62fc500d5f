"""Renders a pypi repository: a page for each project, and the root page that lists the projects.

1. A project's name is normalized, so that all spellings of it share a page (PEP 503).
2. A file that was uploaded for several distribution versions is listed once, with its oldest record. It is yanked if
   it is for all of them.
3. The page of a project is a publication of its own. An upload changes one page, and only that one is written again.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace

from packaging.utils import canonicalize_name

from packrat_agent.formats.interface import ChunkCache, RenderRequest
from packrat_agent.formats.pypi.former_place import former_place
from packrat_agent.formats.pypi.layout import HTML_PAGE, JSON_PAGE, SIMPLE, project_directory
from packrat_agent.formats.pypi.pages import Page, project_identity, published_path, write_project, write_root
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, Publication, TreeFile, TreeLink

_ROOT_PUBLICATION = f"{SIMPLE}/"
"""Name of the root page's publication; a project can't have it."""

_CODING = "pypi-pages-1"


def render_repository(request: RenderRequest) -> tuple[Publication, ...]:
    """Render one publication for each project, then that of the root page."""
    spellings: dict[str, dict[str, Entry]] = {}
    for entry in request.entries:
        found = spellings.setdefault(entry.fragment.name, {})
        path = published_path(entry)
        listed = found.setdefault(path, entry)
        if listed.file.yanked and not entry.file.yanked:
            found[path] = replace(listed, file=replace(listed.file, yanked=False))
    # Normalized once for each spelling, not for each file.
    projects: dict[str, dict[str, Entry]] = {}
    for name, found in spellings.items():
        projects.setdefault(canonicalize_name(name), {}).update(found)
    taken = {path for found in spellings.values() for path in found}.union(entry.path for entry in request.entries)
    publications = []
    for name, found in sorted(projects.items()):
        entries = [found[path] for path in sorted(found)]
        publications.append(_render_project(name, entries, _former_links(entries, taken), request.chunks))
    return (*publications, _render_root(sorted(projects)))


def _former_links(entries: Sequence[Entry], taken: Collection[str]) -> tuple[TreeLink, ...]:
    """Link the places that mirrors of the original agent have to today's, where they differ and are free."""
    links = {former_place(entry.file.file_name): entry.path for entry in entries}
    return tuple(
        TreeLink(place, f"../{path.removeprefix('packages/')}")
        for place, path in sorted(links.items())
        if place not in taken
    )


def _render_project(name: str, entries: Sequence[Entry], links: Sequence[TreeLink], chunks: ChunkCache) -> Publication:
    pages = project_identity(entries)
    page = _cached_page(pages, chunks)
    if page is None:
        page = write_project(name, entries)
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
