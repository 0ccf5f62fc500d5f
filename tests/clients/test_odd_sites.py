"""Site files of odd paths and hosts, in a real nginx and a real Apache: characters that end a word, IPv6 addresses."""

import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.formats.interface import WebServer
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import Repo
from packrat_agent.web.mirror_site import write_mirror_site
from packrat_agent.web.site_files import Site, write_site
from packrat_core.errors import ConfigError
from support.mirror_conf import write_mirror_conf
from support.web_servers import front

_REPOS = [Repo(f"{kind}-dev", kind, f"{kind}-dev", kind, ()) for kind in FORMATS]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the servers' unprivileged workers can read."""
    directory = Path(tempfile.mkdtemp(prefix="web-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("name", ["my repo", "a;b{c} #d", "für-%20:x"])
@pytest.mark.parametrize("server", list(WebServer))
def test_it_is_served(server: WebServer, place: Path, name: str) -> None:
    root = place / name
    (root / "apt-dev/pool").mkdir(parents=True)
    (root / "index.html").write_text("landing page")
    text = write_site(server, root, Site("repo.example.com"), _REPOS, FORMATS)
    with front(server, text, place) as url:
        with urllib.request.urlopen(f"{url}/index.html", timeout=60) as answer:
            assert answer.read() == b"landing page"
        with urllib.request.urlopen(f"{url}/apt-dev/", timeout=60) as answer:
            assert b'href="pool/"' in answer.read()


@pytest.mark.parametrize("server", list(WebServer))
def test_an_address_of_ipv6_is_a_host(server: WebServer, place: Path, tmp_path: Path) -> None:
    root = place / "www"
    root.mkdir()
    (root / "index.html").write_text("landing page")
    config = write_mirror_conf(tmp_path, root_dir=root, mirror="public_url: http://[2001:db8::1]/repo\n")
    text = write_mirror_site(load(config).mirror, server)
    # Where another site is the default one, this one must be found by its name.
    other = {
        WebServer.NGINX: "server { listen 80; server_name other; return 410; }\n",
        WebServer.APACHE: "<VirtualHost *:80>\nServerName other\nRedirect 410 /\n</VirtualHost>\n",
    }[server]
    with front(server, text.replace("# /etc", f"{other}# /etc", 1), place) as url:
        for host, status in (("[2001:db8::1]", 200), ("other", 410)):
            connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
            connection.request("GET", "/index.html", headers={"Host": host})
            assert (host, connection.getresponse().status) == (host, status)
            connection.close()


@pytest.mark.parametrize("server", list(WebServer))
def test_a_root_with_the_name_of_the_example_stays_as_it_is(server: WebServer) -> None:
    text = write_site(server, Path("/srv/repo.example.com"), Site("mirror.example.org"), (), FORMATS)
    assert "/srv/repo.example.com" in text
    assert "/srv/mirror.example.org" not in text


@pytest.mark.parametrize("server", list(WebServer))
def test_a_path_with_words_of_the_templates_stays_as_it_is(server: WebServer) -> None:
    words = "IMAGES-TYPES-DIGEST-DIRECTORY"
    usual = write_site(server, Path("/srv/root"), Site("repo.example.com"), _REPOS, FORMATS)
    text = write_site(server, Path("/srv") / words, Site("repo.example.com"), _REPOS, FORMATS)
    assert text == usual.replace("/srv/root", f"/srv/{words}")


@pytest.mark.parametrize("name", ["$HOME", 'say "x"', "it's", "back\\slash", "a*", "a?", "a[b]", "%{HOST}"])
def test_what_they_read_as_something_else_is_refused_with_the_character(name: str) -> None:
    with pytest.raises(ConfigError, match="something else") as raised:
        write_site(WebServer.NGINX, Path("/srv") / name, Site("repo.example.com"), (), FORMATS)
    assert f"/srv/{name}" in raised.value.message
    assert "packrat-agent serve" in str(raised.value)
