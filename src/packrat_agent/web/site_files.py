"""Writes the configuration that nginx or Apache needs to serve root_dir."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from packrat_agent.formats.interface import Format, WebServer
from packrat_agent.model.records import Repo

_ROOT = "/var/www/repo"
_HOST = "repo.example.com"
"""What stands in the templates, so that each of them is a whole site file too."""


_LISTENS = {
    WebServer.NGINX: (("listen 80;", "listen {};"), ("listen [::]:80;", "listen [::]:{};")),
    WebServer.APACHE: (("<VirtualHost *:80>", "Listen {0}\n<VirtualHost *:{0}>"),),
}
HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class Site:
    """The address of the site without TLS."""

    host: str
    port: int = HTTP_PORT


def write_site(server: WebServer, root: Path, site: Site, repos: Sequence[Repo], formats: Mapping[str, Format]) -> str:
    """Fill the template of a web server with what each repository's type needs.

    Args:
        server: The web server.
        root: root_dir.
        site: The host and the port that clients ask.
        repos: The repositories of the mirror.
        formats: The types, by name.
    """
    rules = [formats[repo.kind].web_rules(server, repo, root) for repo in repos if repo.kind in formats]
    outside = dict.fromkeys(rule.outside for rule in rules if rule.outside)
    template = (resources.files(__package__) / f"{server.value}.conf").read_text(encoding="utf-8")
    text = template.replace(_ROOT, str(root)).replace(_HOST, site.host)
    for usual, other in _LISTENS[server] if site.port != HTTP_PORT else ():
        text = text.replace(usual, other.format(site.port))
    text = text.replace("#outside#\n", "".join(f"{rule.rstrip()}\n\n" for rule in outside))
    shared = dict.fromkeys(rule.shared for rule in rules if rule.shared)
    inside = [f"\n{block.rstrip()}\n" for block in (*shared, *(rule.inside for rule in rules)) if block]
    return text.replace("#inside#\n", "".join(inside))
