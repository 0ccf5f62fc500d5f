"""Writes the configuration that a web server needs to serve root_dir.

Takes: the web server, root_dir, the site's host name, the repositories.
Gives: the text of a site file.
Touches: nothing.
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from packrat_agent.formats.interface import Format, WebServer
from packrat_agent.model import Repo

_ROOT = "/var/www/repo"
_HOST = "repo.example.com"
"""What stands in the templates, so that each of them is a whole site file too."""


def write_site(server: WebServer, root: Path, host: str, repos: Sequence[Repo], formats: Mapping[str, Format]) -> str:
    """Fill the template of a web server with what each repository's type needs."""
    rules = [formats[repo.kind].web_rules(server, repo, root) for repo in repos if repo.kind in formats]
    outside = dict.fromkeys(rule.outside for rule in rules if rule.outside)
    template = (resources.files(__package__) / f"{server.value}.conf").read_text(encoding="utf-8")
    text = template.replace(_ROOT, str(root)).replace(_HOST, host)
    text = text.replace("#outside#\n", "".join(f"{one.rstrip()}\n\n" for one in outside))
    inside = [f"\n{rule.inside.rstrip()}\n" for rule in rules if rule.inside]
    return text.replace("#inside#\n", "".join(inside))
