"""The pypi repository type: publishes wheels and source distributions under a simple index.

`read` opens the package file and writes a wheel's metadata; every other method works on values alone.
"""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from packrat_agent.formats.interface import ChunkCache, RenderRequest, Treatment, WebRules, WebServer
from packrat_agent.formats.pypi.former_place import former_place
from packrat_agent.formats.pypi.index import Page, project_identity, write_project, write_root
from packrat_agent.formats.pypi.serving import write_rules
from packrat_agent.formats.renamed import means
from packrat_agent.formats.versions import version_of
from packrat_agent.model.entries import Entry, Fragment, Product
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.model.tree import Content, Publication, Tree, TreeFile, TreeLink
from packrat_core.errors import Refused
from packrat_core.fs.atomic import write_new
from packrat_core.packages.python.inspect import SDIST_ENDINGS, Kind, check_file_name, read_distribution
from packrat_core.packages.python.metadata import read_version

ROOT_SECTION = "simple/"
"""Name of the root page's publication; a project can't have it."""

_CODING = "pypi-pages-1"


class PypiFormat:
    """`Format` for pypi."""

    kind = "pypi"
    treatment = Treatment.ACCOMPANIED
    fragment_version = 1

    def place(self, repo: Repo, file: PackageFile) -> str:
        """Place the file at packages/<first six characters of the package name>/<file>."""
        if file.kind != "python":
            raise Refused(f"a {file.kind} file called {file.file_name} can't be in a pypi repository")
        if not file.file_name.endswith((".whl", *SDIST_ENDINGS)):
            raise Refused(f"{file.file_name} is neither a wheel (.whl) nor a source distribution (.tar.gz, .zip)")
        version_of(repo, file)
        return f"packages/{file.package[:6]}/{file.file_name}"

    def read(self, path: Path, into: Path) -> Fragment:
        """Read kind and Requires-Python, a line each; a wheel's METADATA becomes the product `.metadata`."""
        found = read_distribution(path)
        products: tuple[Product, ...] = ()
        if found.kind is Kind.WHEEL:
            digest = hashlib.sha256(found.content).hexdigest()
            write_new(into / digest, found.content)
            products = (Product(".metadata", digest, len(found.content), beside=True),)
        body = f"{found.kind}\n{found.core.requires_python}".encode()
        return Fragment(body, found.core.name, found.core.version, "all", products)

    def agree(self, file: PackageFile, fragment: Fragment) -> None:
        """Check that name and version are those of the record and of the file's name, in any spelling."""
        kind = fragment.body.partition(b"\n")[0].decode()
        check_file_name(file.file_name, kind, fragment.name, fragment.version)
        # Both PEP 503 and the server's renaming make several spellings of one name; either may explain a difference.
        is_project = canonicalize_name(file.package) == canonicalize_name(fragment.name)
        if not (is_project or means(_plain(file.package), _plain(fragment.name))):
            raise Refused(f"the server has it as package {file.package}, its metadata says {fragment.name}")
        if not (means(_plain(file.version), _plain(fragment.version)) or _same_version(file, fragment)):
            raise Refused(f"the server has it as version {file.version}, its metadata says {fragment.version}")

    def render(self, request: RenderRequest) -> Tree:
        """Render one publication for each project, then that of the root page, which lists them."""
        spellings: dict[str, dict[str, Entry]] = {}
        for entry in request.entries:
            # A file that is uploaded for several distribution versions is listed once, with its oldest record.
            spellings.setdefault(entry.fragment.name, {}).setdefault(entry.path, entry)
        projects: dict[str, dict[str, Entry]] = {}
        for name, found in spellings.items():
            projects.setdefault(canonicalize_name(name), {}).update(found)
        taken = {entry.path for entry in request.entries}
        publications = []
        for name, found in sorted(projects.items()):
            entries = [found[path] for path in sorted(found)]
            publications.append(_render_project(name, entries, _former_links(entries, taken), request.chunks))
        return Tree(request.repo, (*publications, _render_root(sorted(projects))))

    def client_setup(self, repo: Repo, url: str, signed: bool) -> str:
        """Give the commands that set the index's address for pip, uv and poetry."""
        index = f"{url}/{repo.directory}/simple/"
        lines = [f"pip config set global.index-url {index}"]
        if url.startswith("http://"):
            # Without TLS, pip ignores an index that it is not told to trust.
            lines.append(f"pip config set global.trusted-host {urlsplit(url).netloc}")
        lines += [
            f"export UV_DEFAULT_INDEX={index}",
            f"poetry source add --priority=primary {repo.name} {index}",
        ]
        return "\n".join(lines)

    def signed_part(self, repo: Repo, public_url: str | None) -> str | None:
        """Return None: Python clients do not check signatures."""
        return None

    def web_rules(self, server: WebServer, repo: Repo, root: Path) -> WebRules:
        """Give the rules that answer with JSON if a client asks for it, and with HTML otherwise."""
        return write_rules(server, repo.directory, root)


def _plain(text: str) -> str:
    return text.lower().replace("_", "-")


def _same_version(file: PackageFile, fragment: Fragment) -> bool:
    return read_version(file.version, "the server's record") == read_version(fragment.version, "its metadata")


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
    page = _kept_page(pages, chunks)
    if page is None:
        page = write_project(name, entries)
        chunks.put(_CODING, pages, len(page.html).to_bytes(8, "big") + page.html + page.json)
    # Projects without such links keep the identity that they had before there were any.
    told = "".join(f"\n{link.path} {link.target}" for link in links)
    identity = hashlib.sha256((pages + told).encode()).hexdigest() if links else pages
    return Publication(name, identity, tuple(links), _pointers(f"simple/{name}", page))


def _kept_page(identity: str, chunks: ChunkCache) -> Page | None:
    kept = chunks.get(_CODING, identity)
    if kept is None:
        return None
    # `_render_project` stores the length of the HTML page (8 bytes, big-endian), that page, and the JSON page.
    middle = 8 + int.from_bytes(kept[:8], "big")
    return Page(kept[8:middle], kept[middle:])


def _render_root(projects: Sequence[str]) -> Publication:
    page = write_root(projects)
    identity = hashlib.sha256(page.html + page.json).hexdigest()
    return Publication(ROOT_SECTION, identity, (), _pointers("simple", page))


def _pointers(directory: str, page: Page) -> tuple[TreeFile, ...]:
    return (
        TreeFile(f"{directory}/index.v1_json", Content.of(page.json)),
        TreeFile(f"{directory}/index.html", Content.of(page.html)),
    )
