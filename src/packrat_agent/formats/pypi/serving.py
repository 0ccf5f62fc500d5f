"""Writes the configuration that nginx or Apache needs for a pypi repository, and what users need for their clients.

1. A page is answered as JSON if the client asks for it, and as HTML otherwise.
2. Caches ask again for pages, and keep for ever what is below packages/.

Source: PEP 691, "Version + Format Selection"; nginx ngx_http_index_module; Apache mod_dir, core <If>.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

from packrat_agent.formats.interface import IMMUTABLE, ClientSetup, WebRules, WebServer
from packrat_agent.formats.pypi.pages import JSON_TYPE
from packrat_agent.formats.shell_text import in_url, quoted
from packrat_agent.formats.uploaded import uploaded_lines
from packrat_agent.model.records import Repo

_ACCEPTS_JSON = r"application/vnd\.pypi\.simple\.(v1|latest)\+json(?!\s*;\s*q=0(\.0*)?\s*(,|$))"
"""Matches an Accept header that names the type, unless with q=0."""
_PACKAGES = r"^/DIRECTORY/packages/[^/]+/[^/]+\.(whl|whl\.metadata|tar\.gz|zip)$"

_ONLY = (
    "As the only index of a client. With pip there is no other safe way: with --extra-index-url, pip takes the highest "
    "version from any index, so anybody could publish your project's name on PyPI and have it installed."
)
_WITH_UV = "The named projects alone come from here. In pyproject.toml:"
_WITH_POETRY = "The named projects alone come from here."
_NO_IPV6 = "poetry takes no IPv6 address for the host of an index. Use a name of this host."

_NGINX_OUTSIDE = f"""\
# Python clients that ask for JSON get the JSON form of an index page.
map $http_accept $packrat_simple_index {{
    default index.html;
    "~{_ACCEPTS_JSON}" index.v1_json;
}}
"""

_NGINX_INSIDE = f"""\
    # The pages of the Python index, as JSON or as HTML.
    location ~ "^/DIRECTORY/simple/([^/]+/)?$" {{
        index $packrat_simple_index index.html;
        add_header Cache-Control "no-cache";
        add_header Vary "Accept";
    }}
    location ~ "^/DIRECTORY/simple/([^/]+/)?index\\.(html|v1_json)$" {{
        types {{
            text/html html;
            {JSON_TYPE} v1_json;
        }}
        add_header Cache-Control "no-cache";
        add_header Vary "Accept";
    }}

    # A name among the packages stands for the same bytes for ever. Some are links of the agent's own to others.
    location ~ "{_PACKAGES}" {{
        disable_symlinks if_not_owner from=$document_root;
        add_header Cache-Control "{IMMUTABLE}";
{uploaded_lines(WebServer.NGINX)}
    }}
"""

_APACHE_INSIDE = f"""\
    # The pages of the Python index, as JSON or as HTML.
    <LocationMatch "^/DIRECTORY/simple/([^/]+/)?(index\\.(html|v1_json))?$">
        <If "%{{HTTP:Accept}} =~ m#{_ACCEPTS_JSON}#">
            DirectoryIndex index.v1_json index.html
        </If>
        Header merge Vary Accept
    </LocationMatch>
    <LocationMatch "^/DIRECTORY/simple/([^/]+/)?index\\.v1_json$">
        ForceType {JSON_TYPE}
    </LocationMatch>

    # A name among the packages stands for the same bytes for ever. Some are links of the agent's own to others.
    <Directory "ROOT/packages/">
        Options +SymLinksIfOwnerMatch
    </Directory>
    <LocationMatch "{_PACKAGES}">
        Header set Cache-Control "{IMMUTABLE}"
{uploaded_lines(WebServer.APACHE)}
    </LocationMatch>
"""


def write_rules(server: WebServer, directory: str, root: Path) -> WebRules:
    """Write the rules for one repository.

    Args:
        server: the web server.
        directory: the repository's directory, relative to root_dir.
        root: root_dir.
    """
    here = re.escape(directory)
    if server is WebServer.NGINX:
        return WebRules(_NGINX_OUTSIDE, _NGINX_INSIDE.replace("DIRECTORY", here))
    return WebRules("", _APACHE_INSIDE.replace("DIRECTORY", here).replace("ROOT", str(root / directory)))


def client_setup(repo: Repo, url: str) -> tuple[ClientSetup, ...]:
    """Give the commands that make it the only index of pip, uv and poetry, and how to use it beside PyPI.

    Beside PyPI, each project must come from one index that is named for it. Otherwise anybody can register a private
    project's name on PyPI, with a higher version, and clients install that (dependency confusion).

    Args:
        repo: the repository.
        url: the address of root_dir as the client knows it.
    """
    index = f"{url}/{in_url(repo.directory)}/simple/"
    word = quoted(index)
    only = [f"pip config set global.index-url {word}"]
    if url.startswith("http://"):
        # Without TLS, pip ignores an index that it is not told to trust.
        only.append(f"pip config set global.trusted-host {quoted(urlsplit(url).netloc)}")
    only += [
        f"export UV_DEFAULT_INDEX={word}",
        f"poetry source add --priority=primary {repo.name} {word}",
    ]
    # Names of uv's indexes have fewer characters than those of repositories.
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", repo.name)
    uv = [
        *("[[tool.uv.index]]", f'name = "{name}"', f'url = "{index}"', "explicit = true"),
        *("", "[tool.uv.sources]", f'YOUR-PROJECT = {{ index = "{name}" }}'),
    ]
    poetry = [f"poetry source add --priority=explicit {name} {word}", f"poetry add --source {name} YOUR-PROJECT"]
    # The page's script handles a host that is filled in later.
    no_ipv6 = f" {_NO_IPV6}" if "://[" in url else ""
    return (
        ClientSetup("pip, uv or poetry, with this index alone", _ONLY + no_ipv6, "\n".join(only), _NO_IPV6),
        ClientSetup("uv, together with PyPI", _WITH_UV, "\n".join(uv)),
        ClientSetup("poetry, together with PyPI", _WITH_POETRY + no_ipv6, "\n".join(poetry), _NO_IPV6),
    )
