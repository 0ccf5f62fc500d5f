"""Renders a pypi repository: a page for each project, and the root page that lists the projects.

The page of a project is a publication of its own. A change renders the pages of the projects that it touches, and the
root page if a project came or went; the other ones are those of the last render. A page is written when its content is
asked for, so a project that stays as it is published costs no more than to tell that it does.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from packrat_agent.formats.interface import Change, RenderRequest
from packrat_agent.formats.pypi.layout import HTML_PAGE, JSON_PAGE, SIMPLE, project_directory
from packrat_agent.formats.pypi.pages import Page, project_identity, write_project, write_root
from packrat_agent.formats.pypi.projects import Projects
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, Publication, TreeFile, TreeLink

_ROOT_PUBLICATION = f"{SIMPLE}/"
"""Name of the root page's publication; a project can't have it."""

_LAST = "last"
"""Key in the memo for the last render."""


@dataclass(slots=True)
class _LastRender:
    """The projects, and their publications in the order of their names; '' is the root page's."""

    projects: Projects = field(default_factory=Projects)
    publications: dict[str, Publication] = field(default_factory=dict)


class _ProjectPages:
    """The pages of a project, which are written when somebody asks for one of them."""

    def __init__(self, project: str, files: Sequence[tuple[str, Entry]]) -> None:
        self._project = project
        self._files = files

    @cached_property
    def page(self) -> Page:
        """Both forms."""
        return write_project(self._project, self._files)


@dataclass(frozen=True, slots=True)
class _Form:
    """The one part of a page in one form."""

    pages: _ProjectPages
    is_html: bool

    def __iter__(self) -> Iterator[bytes]:
        yield self.pages.page.html if self.is_html else self.pages.page.json


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
        before[name] = _render_project(name, files, projects.links(files))
    if not is_list_same:
        names = sorted(present)
        last.publications = {name: before[name] for name in names} | {"": _render_root(names)}
    return tuple(last.publications.values())


def _render_project(name: str, files: Sequence[tuple[str, Entry]], links: Sequence[TreeLink]) -> Publication:
    """Render the page of a project.

    Args:
        name: its normalized name.
        files: its files, each behind the path under which clients find it.
        links: the links from the former places of these.
    """
    pages = project_identity(files)
    # Projects without such links keep the identity that they had before there were any.
    told = "".join(f"\n{link.path} {link.target}" for link in links)
    identity = hashlib.sha256((pages + told).encode()).hexdigest() if links else pages
    written = _ProjectPages(name, files)
    html, json = Content(_Form(written, is_html=True)), Content(_Form(written, is_html=False))
    return Publication(name, identity, tuple(links), _pointers(project_directory(name), html, json))


def _render_root(projects: Sequence[str]) -> Publication:
    page = write_root(projects)
    identity = hashlib.sha256(page.html + page.json).hexdigest()
    return Publication(_ROOT_PUBLICATION, identity, (), _pointers(SIMPLE, Content.of(page.html), Content.of(page.json)))


def _pointers(directory: str, html: Content, json: Content) -> tuple[TreeFile, ...]:
    return (TreeFile(f"{directory}/{JSON_PAGE}", json), TreeFile(f"{directory}/{HTML_PAGE}", html))
