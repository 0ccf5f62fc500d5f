"""Writes the configuration that nginx or Apache needs for a yum repository, and what users need for their clients.

1. The web server follows the links of a generation, and only those of the agent's own.
2. Caches keep for ever what never changes: metadata files that a checksum names, and generations.
"""

import re
from pathlib import Path
from urllib.parse import quote

from packrat_agent.formats.interface import IMMUTABLE, ClientSetup, WebRules, WebServer
from packrat_agent.formats.shell_text import quoted
from packrat_agent.formats.yum.client_files import MIRROR_MARK
from packrat_agent.formats.yum.layout import version_directory
from packrat_agent.model.records import Repo

_WITH_ZYPPER = ("sle", "opensuse")
"""How distributions that have zypper are called."""

_NGINX = """\
    # {name}: what a checksum names, and what stands in a generation, never changes.
    location ~ "^/{path}/.+/(repodata/[0-9a-f]{{64}}-[a-z]+\\.xml\\.gz|generations/[^/]+/repodata/[^/]+)$" {{
        add_header Cache-Control "{immutable}";
    }}

    # {name}: a generation reaches the packages by links of the agent's own.
    location ~ "^/{path}/.+/generations/" {{
        disable_symlinks if_not_owner from=$document_root;
    }}

    # {name}: shown by browsers instead of downloaded.
    location ~ "^/{path}/.+/(mirrorlist|[^/]+\\.repo)$" {{
        default_type text/plain;
    }}
"""
_APACHE = """\
    # {name}: a generation reaches the packages by links of the agent's own.
    <Directory "{root}/{directory}/">
        Options +SymLinksIfOwnerMatch
        <FilesMatch "^mirrorlist$|\\.repo$">
            ForceType text/plain
        </FilesMatch>
    </Directory>

    # {name}: what a checksum names, and what stands in a generation, never changes.
    <LocationMatch "^/{path}/.+/(repodata/[0-9a-f]{{64}}-[a-z]+\\.xml\\.gz|generations/[^/]+/repodata/[^/]+)$">
        Header set Cache-Control "{immutable}"
    </LocationMatch>
"""


def write_rules(server: WebServer, repo: Repo, root: Path) -> WebRules:
    """Write rules that let the web server follow the links of generations, and caches keep what never changes.

    Args:
        server: the web server.
        repo: the repository.
        root: root_dir.
    """
    template = {WebServer.NGINX: _NGINX, WebServer.APACHE: _APACHE}[server]
    values = {"name": repo.name, "path": re.escape(repo.directory), "directory": repo.directory, "root": root}
    return WebRules(inside=template.format(**values, immutable=IMMUTABLE))


def client_setup(repo: Repo, url: str) -> tuple[ClientSetup, ...]:
    """Give the commands that install each .repo file, and fill in the mirror's address if the file lacks it."""
    setups = []
    for version in repo.distro_versions:
        top, is_zypper = version_directory(version), version.distro.startswith(_WITH_ZYPPER)
        directory = "/etc/zypp/repos.d" if is_zypper else "/etc/yum.repos.d"
        file = f"{url}/{quote(f'{repo.directory}/{top}/{repo.name}')}.repo"
        lines = (
            f"curl -fsSL {quoted(file)} | sed 's|{MIRROR_MARK}|{url}|' | sudo tee {directory}/{repo.name}.repo",
            f"sudo zypper refresh {repo.name}" if is_zypper else f"sudo dnf makecache --repo {repo.name}",
        )
        client = "zypper" if is_zypper else "dnf or yum"
        release = f"{version.distro} {version.version or version.name}"
        setups.append(ClientSetup(f"{client}, on {release}", "", "\n".join(lines)))
    return tuple(setups)
