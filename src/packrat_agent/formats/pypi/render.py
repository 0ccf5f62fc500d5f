"""Renders a pypi repository: a page for each project, and the root page that lists the projects.

The page of a project is a publication of its own. A change renders the pages of the projects that it touches, and the
root page if a project came or went; the other ones stay as they are published. A page is written when its content is
asked for, so a project that stays as it is published costs no more than to tell that it does.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from packrat_agent.formats.interface import RenderRequest
from packrat_agent.formats.pypi.layout import HTML_PAGE, JSON_PAGE, SIMPLE, project_directory
from packrat_agent.formats.pypi.pages import project_identity, write_project, write_root
from packrat_agent.formats.pypi.projects import Projects
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, Publication, Rendered, Touched, TreeFile
from packrat_agent.state.scratch import Extent, Region

_ROOT_PUBLICATION = f"{SIMPLE}/"
"""Name of the root page's publication; a project can't have it."""

_PROJECTS = "projects"
"""Key in the memo for the projects as they were rendered last."""


class _ProjectPages:
    """The pages of a project, which are written to disk when somebody asks for one of them."""

    def __init__(self, project: str, files: Sequence[tuple[str, Entry]], region: Region) -> None:
        self._project = project
        self._files = files
        self._region = region

    @cached_property
    def _extents(self) -> tuple[Extent, Extent]:
        page = write_project(self._project, self._files)
        html, json = self._region.add_all((page.html, page.json))
        # Not before: where the disk is full, they may be asked for again.
        self._files = ()
        return html, json

    def read(self, *, is_html: bool) -> bytearray:
        """Give one of the two forms."""
        html, json = self._extents
        return self._region.read([html if is_html else json])


@dataclass(frozen=True, slots=True)
class _Form:
    """The one part of a page in one form."""

    pages: _ProjectPages
    is_html: bool

    def __iter__(self) -> Iterator[bytearray]:
        yield self.pages.read(is_html=self.is_html)


def render_repository(request: RenderRequest) -> Rendered:
    """Render one publication for each project, then that of the root page."""
    projects: Projects | None = request.memo.get(_PROJECTS)
    # All pages of a first build are as large as a whole index.
    change, region = request.change, request.scratch.region()
    if projects is None or change is None:
        projects = request.memo[_PROJECTS] = Projects()
        projects.replace((), request.entries)
        names = sorted(projects.names())
        return (*(_render_project(name, projects, region) for name in names), _render_root(names))
    before = len(projects.names())
    touched = projects.replace(change.gone, change.new)
    ended = touched.difference(projects.names())
    rendered = [_render_project(name, projects, region) for name in sorted(touched - ended)]
    if ended or len(projects.names()) != before:
        rendered.append(_render_root(sorted(projects.names())))
    return Touched(tuple(rendered), frozenset(ended))


def _render_project(name: str, projects: Projects, region: Region) -> Publication:
    """Render the page of a project, with the links from the former places of its files.

    Args:
        name: That of the project, normalized.
        projects: All projects.
        region: Where its pages are kept.
    """
    files = projects.files(name)
    links = projects.links(files)
    pages = project_identity(files)
    # Projects without such links keep the identity that they had before there were any.
    told = "".join(f"\n{link.path} {link.target}" for link in links)
    identity = hashlib.sha256((pages + told).encode()).hexdigest() if links else pages
    written = _ProjectPages(name, files, region)
    html, json = Content(_Form(written, is_html=True)), Content(_Form(written, is_html=False))
    return Publication(name, identity, tuple(links), _pointers(project_directory(name), html, json))


def _render_root(projects: Sequence[str]) -> Publication:
    page = write_root(projects)
    identity = hashlib.sha256(page.html + page.json).hexdigest()
    return Publication(_ROOT_PUBLICATION, identity, (), _pointers(SIMPLE, Content.of(page.html), Content.of(page.json)))


def _pointers(directory: str, html: Content, json: Content) -> tuple[TreeFile, ...]:
    return (TreeFile(f"{directory}/{JSON_PAGE}", json), TreeFile(f"{directory}/{HTML_PAGE}", html))
