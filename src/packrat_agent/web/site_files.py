"""Writes the configuration that nginx or Apache needs to serve root_dir."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from packrat_agent.formats.interface import Format, WebServer
from packrat_agent.model.records import Repo
from packrat_core.errors import ConfigError

_ROOT = "/var/www/repo"
_HOST = "repo.example.com"
"""What stands in the templates, so that each of them is a whole site file too."""


_LISTENS = {
    WebServer.NGINX: (("listen 80;", "listen {};"), ("listen [::]:80;", "listen [::]:{};")),
    WebServer.APACHE: (("<VirtualHost *:80>", "Listen {0}\n<VirtualHost *:{0}>"),),
}
HTTP_PORT = 80
_PLAIN = re.compile(r"[\w@%+=:,./~-]+")
_UNWRITABLE = re.compile(r"[\"'\\$*?\[]|%\{")
"""What means something else in a path, also within quotes, to nginx or Apache: the latter matches `<Directory>`."""


@dataclass(frozen=True, slots=True)
class Site:
    """The address of the site without TLS; `host` is as requests name it, an address of IPv6 in brackets."""

    host: str
    port: int = HTTP_PORT


def check_root(root: Path) -> None:
    """Make sure that site files can name root_dir.

    Raises:
        ConfigError: It has characters that nginx or Apache read as something else.
    """
    if found := _UNWRITABLE.search(str(root)):
        raise ConfigError(
            f"nginx and Apache can't be told to serve root_dir {root}: they read {found[0]} as something else",
            hint=f"give root_dir a path without {found[0]}, or serve it by another program, such as "
            "`packrat-agent serve` (for `init`, that is --web-server none)",
        )


def write_site(server: WebServer, root: Path, site: Site, repos: Sequence[Repo], formats: Mapping[str, Format]) -> str:
    """Fill the template of a web server with what each repository's type needs.

    Args:
        server: The web server.
        root: root_dir.
        site: The host and the port that clients ask.
        repos: The repositories of the mirror.
        formats: The types, by name.

    Raises:
        ConfigError: root_dir has characters that can't stand in a site file.
    """
    check_root(root)
    rules = [formats[repo.kind].web_rules(server, repo, root) for repo in repos if repo.kind in formats]
    outside = dict.fromkeys(rule.outside for rule in rules if rule.outside)
    template = (resources.files(__package__) / f"{server.value}.conf").read_text(encoding="utf-8")
    text = template.replace(f"ServerName {_HOST}", _apache_names(site.host)).replace(_HOST, site.host)
    for usual, other in _LISTENS[server] if site.port != HTTP_PORT else ():
        text = text.replace(usual, other.format(site.port))
    # After the host, whose placeholder a path may hold.
    text = re.sub(rf"{_ROOT}(/?)(?=[;>\s])", lambda found: _word(f"{root}{found[1]}"), text)
    text = text.replace("#outside#\n", "".join(f"{rule.rstrip()}\n\n" for rule in outside))
    shared = dict.fromkeys(rule.shared for rule in rules if rule.shared)
    inside = [f"\n{block.rstrip()}\n" for block in (*shared, *(rule.inside for rule in rules)) if block]
    return text.replace("#inside#\n", "".join(inside))


def _apache_names(host: str) -> str:
    """Write the names of an Apache site: it takes an address of IPv6 for an alias only, without its brackets."""
    return f"ServerName localhost\n    ServerAlias {host.strip('[]')}" if ":" in host else f"ServerName {host}"


def _word(path: str) -> str:
    """Write a path as one word: a space, a semicolon or a brace would end it."""
    return path if _PLAIN.fullmatch(path) else f'"{path}"'
