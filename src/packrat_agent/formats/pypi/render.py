"""Renders a pypi repository: a page for each project, and the root page that lists the projects.

The page of a project is a publication of its own. A change renders the pages of the projects that it touches, and the
root page if a project came or went; the other ones stay as they are published.

A build of everything reads the files of some projects at a time. A project that is published as it is costs no more
than to tell that it is; the pages of the others are written to disk at once, so that their files need no memory.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from packrat_agent.formats.interface import RenderRequest
from packrat_agent.formats.pypi.layout import HTML_PAGE, JSON_PAGE, SIMPLE, project_directory
from packrat_agent.formats.pypi.pages import project_identity, write_project, write_root
from packrat_agent.formats.pypi.project_files import ProjectFiles
from packrat_agent.formats.pypi.projects import Projects, list_files
from packrat_agent.model.entries import Entry
from packrat_agent.model.tree import Content, LateFiles, PendingFile, Publication, Rendered, Touched, TreeFile, TreeLink
from packrat_agent.state.scratch import Extent, Region

_ROOT_PUBLICATION = f"{SIMPLE}/"
"""Name of the root page's publication; a project can't have it."""

_PROJECTS = "projects"
"""Key in the memo for the projects as they were rendered last."""

_File = TreeFile | TreeLink | PendingFile

_FILES = 1000
"""Number of files that are read together, all of a project at once."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """The one part of a page that stands on disk."""

    region: Region
    extent: Extent

    def __iter__(self) -> Iterator[bytearray]:
        yield self.region.read([self.extent])


@dataclass(frozen=True)
class _Project:
    """A project, its files with the paths under which clients find them, and the links from their former places."""

    name: str
    files: Sequence[tuple[str, Entry]]
    links: tuple[TreeLink, ...]

    @cached_property
    def identity(self) -> str:
        """Covers all that is published of it."""
        pages = project_identity(self.files)
        # Projects without such links keep the identity that they had before there were any.
        links = "".join(f"\n{link.path} {link.target}" for link in self.links)
        return hashlib.sha256((pages + links).encode()).hexdigest() if self.links else pages


@dataclass(frozen=True)
class _LateProject:
    """A project whose files are read again if somebody asks for its pages."""

    name: str
    packages: Collection[str]
    projects: Projects
    files: ProjectFiles
    region: Region

    def publication(self, identity: str) -> Publication:
        """Give what is published of it."""
        content: LateFiles[_File] = LateFiles(lambda: tuple(self._read.content))
        pointers: LateFiles[_File] = LateFiles(lambda: tuple(self._read.pointers))
        return Publication(self.name, identity, content, pointers)

    @cached_property
    def _read(self) -> Publication:
        [project] = _read(self.projects, {self.name: self.packages}, self.files)
        return _render_project(project, self.region)


def render_repository(request: RenderRequest) -> Rendered:
    """Render one publication for each project, then that of the root page."""
    projects: Projects | None = request.memo.get(_PROJECTS)
    files, change = ProjectFiles(request.entries, request.standing), request.change
    # All pages of a first build are as large as a whole index.
    region = request.scratch.region()
    if projects is None or change is None:
        return _render_all(request, files, region)
    before = frozenset(projects.names())
    touched = projects.replace(change.gone, change.new)
    packages = {name: {*projects.packages(name), *files.packages_held(name)} for name in sorted(touched)}
    rendered = [_render_project(project, region) for project in _read(projects, packages, files)]
    ended = before.difference(projects.names())
    if ended or len(projects.names()) != len(before):
        rendered.append(_render_root(sorted(projects.names())))
    return Touched(tuple(rendered), ended)


def _render_all(request: RenderRequest, files: ProjectFiles, region: Region) -> tuple[Publication, ...]:
    projects, rendered = Projects(), []
    for entry in files.renamed():
        projects.note_renamed(entry)
    for portion in files.portions(_FILES):
        for project in _read(projects, portion, files):
            for _, entry in project.files:
                projects.note_former(entry)
            if request.is_published(project.name, project.identity):
                late = _LateProject(project.name, portion[project.name], projects, files, region)
                rendered.append(late.publication(project.identity))
            else:
                rendered.append(_render_project(project, region))
    kept: Projects | None = request.kept.get(_PROJECTS)
    request.memo[_PROJECTS] = kept if kept is not None and kept.equals(projects) else projects
    return (*rendered, _render_root(sorted(projects.names())))


def _read(projects: Projects, packages: Mapping[str, Collection[str]], files: ProjectFiles) -> list[_Project]:
    """Read some projects with all their files, and take note of them; those without any are left out.

    Args:
        projects: All projects.
        packages: The name of each of these → the packages that its files are of.
        files: All files.
    """
    listed = {}
    for name, entries in files.read(packages).items():
        projects.note(name, entries)
        if entries:
            listed[name] = list_files(entries)
    links = projects.links(listed, files)
    return [_Project(name, of_project, links[name]) for name, of_project in listed.items()]


def _render_project(project: _Project, region: Region) -> Publication:
    """Write the pages of a project.

    Args:
        project: The project.
        region: Where its pages are kept.
    """
    page = write_project(project.name, project.files)
    html, json = (
        Content.known(_Stored(region, extent), len(data), hashlib.sha256(data).hexdigest())
        for data, extent in zip(page, region.add_all(page), strict=True)
    )
    pointers = _pointers(project_directory(project.name), html, json)
    return Publication(project.name, project.identity, project.links, pointers)


def _render_root(projects: Sequence[str]) -> Publication:
    page = write_root(projects)
    identity = hashlib.sha256(page.html + page.json).hexdigest()
    return Publication(_ROOT_PUBLICATION, identity, (), _pointers(SIMPLE, Content.of(page.html), Content.of(page.json)))


def _pointers(directory: str, html: Content, json: Content) -> tuple[TreeFile, ...]:
    return (TreeFile(f"{directory}/{JSON_PAGE}", json), TreeFile(f"{directory}/{HTML_PAGE}", html))
