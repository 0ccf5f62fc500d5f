"""Writes the configuration that nginx or Apache needs for a json repository, and what users need to download from it.

Clients read plain files. A browser is told to run nothing of them, since anything may be uploaded here, pages too.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from packrat_agent.formats.interface import WebRules, WebServer
from packrat_agent.formats.json.layout import MANIFEST, SIGNED_SUMS, SUMS
from packrat_agent.formats.shell_text import in_url, quoted
from packrat_agent.formats.uploaded import UPLOADED_HEADERS, uploaded_lines
from packrat_agent.model.key_places import KeyPlace
from packrat_agent.model.records import Repo

_NGINX = f"""\
    # DIRECTORY: a browser runs nothing of what somebody has uploaded.
    location ~ "^/PATTERN/[^/]+/[^/]+$" {{
        add_header Cache-Control "no-cache";
{uploaded_lines(WebServer.NGINX)}
    }}
"""
_APACHE = f"""\
    # DIRECTORY: a browser runs nothing of what somebody has uploaded.
    <LocationMatch "^/PATTERN/[^/]+/[^/]+$">
{uploaded_lines(WebServer.APACHE)}
    </LocationMatch>
"""


def write_rules(server: WebServer, directory: str) -> WebRules:
    """Write the rules for the repository in a directory, relative to root_dir."""
    template = {WebServer.NGINX: _NGINX, WebServer.APACHE: _APACHE}[server]
    return WebRules(inside=template.replace("DIRECTORY", directory).replace("PATTERN", re.escape(directory)))


def uploaded_headers(root: Path, path: Path) -> Mapping[str, str]:
    """Choose the same headers for a file; none where it is not of a json repository.

    Args:
        root: root_dir.
        path: The file, below it.
    """
    repo = path.parent.parent
    return UPLOADED_HEADERS if repo.is_relative_to(root) and (repo / MANIFEST).is_file() else {}


def client_setup(repo: Repo, url: str, key: KeyPlace | None) -> str:
    """Give the commands that download and check the list and a file.

    The list comes first: a file that it names stays on the mirror for a while, whatever is published next.

    Args:
        repo: the repository.
        url: the address of root_dir as the client knows it.
        key: where the public key is published that the list is signed with; None if it is not.
    """
    here = f"{url}/{in_url(repo.directory)}"
    get = f"curl -fsS --create-dirs -o PACKAGE/FILE {quoted(f'{here}/PACKAGE/FILE')}"
    check = f"sha256sum -c --ignore-missing {SUMS}"
    if key is None:
        return "\n".join([f"curl -fsSO {quoted(f'{here}/{SUMS}')}", get, check])
    keyring = key.binary.rpartition("/")[2]
    fetch = f"curl -fsSO {quoted(f'{url}/{key.binary}')} -O {quoted(f'{here}/{SIGNED_SUMS}')}"
    # gpgv writes the list even if the signature is bad.
    return "\n".join([fetch, get, f"gpgv --keyring ./{keyring} --output {SUMS} {SIGNED_SUMS} && {check}"])
