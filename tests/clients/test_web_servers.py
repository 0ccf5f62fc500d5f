"""The web server configurations that we hand out, in a real nginx and a real Apache."""

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from pathlib import Path
from ssl import create_default_context

import pytest

from packrat_agent.formats.interface import WebServer
from packrat_agent.formats.table import FORMATS
from packrat_agent.web.site_files import Site, write_site
from support.web_servers import Started, start_apache, start_nginx, start_on_free_port

_PACKAGES = b"Package: hello\nVersion: 1.0\n\n" * 2000
_DIGEST = hashlib.sha256(_PACKAGES).hexdigest()
_DEB = bytes(range(256)) * 64
_SUITE = "apt-prod/dists/bookworm"
_TREE = {
    "index.html": b"<!DOCTYPE html><title>prod-mirror</title>" + b"<p>landing page</p>" * 200,
    "repo-key": b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
    "repo-key.gpg": b"\x98\x8d",
    "apt-prod/pool/hello/hello_1.0_amd64.deb": _DEB,
    "apt-prod/pool/hello/hello_1.0+b1~x_amd64.deb": _DEB,
    "apt-prod/pool/hello/hello-dbgsym_1.0_amd64.ddeb": _DEB,
    "apt-prod/pool/ph/odd_1.php.fr.var_all.deb": _DEB,
    "json-prod/tool/tool_1.var": b"URI: ../../repo-key\nContent-Type: text/plain\n",
    f"{_SUITE}/InRelease": b"-----BEGIN PGP SIGNED MESSAGE-----\n",
    f"{_SUITE}/Release": b"Suite: bookworm\n",
    f"{_SUITE}/Release.gpg": b"-----BEGIN PGP SIGNATURE-----\n",
    f"{_SUITE}/main/binary-amd64/Packages": _PACKAGES,
    f"{_SUITE}/main/binary-amd64/Packages.gz": b"\x1f\x8b" + bytes(400),
    f"{_SUITE}/main/binary-arm64/Packages.gz": b"\x1f\x8b" + bytes(400),
    f"{_SUITE}/main/binary-amd64/by-hash/SHA256/{_DIGEST}": _PACKAGES,
    ".packrat-agent/mark": b"{}",
    "apt-prod/.secret/file": b"hidden",
    "apt-prod/.htaccess": b"hidden",
}
_BY_HASH = f"/{_SUITE}/main/binary-amd64/by-hash/SHA256/{_DIGEST}"
_DEB_PATHS = [f"/{path}" for path in _TREE if path.endswith("deb")]
_POINTERS = [
    "/",
    "/repo-key",
    "/repo-key.gpg",
    f"/{_SUITE}/InRelease",
    f"/{_SUITE}/Release",
    f"/{_SUITE}/Release.gpg",
    f"/{_SUITE}/main/binary-amd64/Packages",
    f"/{_SUITE}/main/binary-amd64/Packages.gz",
    "/apt-prod/pool/",
    "/apt-prod/pool/hello/",
]
_IMMUTABLE = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: HTTPMessage
    body: bytes


@dataclass(frozen=True, slots=True)
class _Site:
    """A running server; with `certificate` it speaks TLS."""

    port: int
    certificate: Path | None

    def get(self, path: str, verb: str = "GET", **headers: str) -> _Answer:
        """Ask as `repo.example.com`; underscores in header names stand for dashes."""
        if self.certificate is None:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        else:
            context = create_default_context(cafile=str(self.certificate))
            context.check_hostname = False
            connection = HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        try:
            sent = {"Host": "repo.example.com", **{name.replace("_", "-"): value for name, value in headers.items()}}
            connection.request(verb, path, headers=sent)
            response = connection.getresponse()
            return _Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that the servers' unprivileged workers can read, with a tree in root/ and a certificate."""
    directory = Path(tempfile.mkdtemp(prefix="web-", dir="/tmp"))
    directory.chmod(0o755)
    for path, content in _TREE.items():
        file = directory / "root" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (directory / "outside").write_bytes(b"not ours")
    (directory / "root/link").symlink_to(directory / "outside")
    (directory / "log").mkdir()
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=repo.example.com",
        "-days",
        "2",
    ]
    subprocess.run(
        [*command, "-keyout", directory / "tls.key", "-out", directory / "tls.pem"], check=True, capture_output=True
    )
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module", params=["nginx", "nginx-tls", "apache", "apache-tls"])
def site(request: pytest.FixtureRequest, place: Path) -> Iterator[_Site]:
    name, _, tls = request.param.partition("-")
    start = {"nginx": start_nginx, "apache": start_apache}[name]

    def begin(port: int) -> Started:
        site = Site("repo.example.com") if tls else Site("repo.example.com", port)
        return start(write_site(WebServer(name), place / "root", site, (), FORMATS), place, port, bool(tls))

    port, process = start_on_free_port(begin)
    yield _Site(port, place / "tls.pem" if tls else None)
    process.terminate()
    process.communicate(timeout=30)


@pytest.mark.parametrize("path", _POINTERS)
def test_files_that_change_are_revalidated_every_time(site: _Site, path: str) -> None:
    answer = site.get(path)
    assert (answer.status, answer.headers.get_all("Cache-Control")) == (200, ["no-cache"])


@pytest.mark.parametrize("path", [_BY_HASH, *_DEB_PATHS])
def test_immutable_files_are_cached_for_ever(site: _Site, path: str) -> None:
    answer = site.get(path)
    assert (answer.status, answer.headers.get_all("Cache-Control")) == (200, [_IMMUTABLE])
    assert answer.body == _TREE[path[1:]]


@pytest.mark.parametrize(
    "path",
    [
        f"/{_SUITE}/main/binary-amd64/by-hash/SHA256/{'0' * 64}",
        "/apt-prod/pool/hello/hello_2.0_amd64.deb",
        f"/{_SUITE}/main/binary-arm64/Packages",
        "/nothing",
    ],
)
def test_missing_paths_are_404_and_not_cached_for_long(site: _Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status == 404
    assert "immutable" not in answer.headers.get("Cache-Control", "")


@pytest.mark.parametrize(
    "path",
    [
        "/.packrat-agent/mark",
        "/.packrat-agent/",
        "/.packrat-agent",
        "/%2epackrat-agent/mark",
        "//.packrat-agent/mark",
        "/apt-prod/.secret/file",
        "/apt-prod/.htaccess",
        "/apt-prod/../.packrat-agent/mark",
    ],
)
def test_hidden_files_do_not_exist(site: _Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status == 404
    assert b"hidden" not in answer.body


def test_a_link_out_of_the_tree_is_not_followed(site: _Site) -> None:
    answer = site.get("/link")
    assert answer.status == 403
    assert b"not ours" not in answer.body


def test_a_part_of_a_package_can_be_asked_for(site: _Site) -> None:
    answer = site.get(_DEB_PATHS[0], Range="bytes=100-199")
    assert (answer.status, answer.body) == (206, _DEB[100:200])
    assert answer.headers["Content-Range"] == f"bytes 100-199/{len(_DEB)}"


def test_an_unchanged_pointer_costs_no_bytes(site: _Site) -> None:
    path = f"/{_SUITE}/InRelease"
    first = site.get(path)
    for header in ({"If_Modified_Since": first.headers["Last-Modified"]}, {"If_None_Match": first.headers["ETag"]}):
        again = site.get(path, **header)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", [f"/{_SUITE}/main/binary-amd64/Packages", _DEB_PATHS[0], "/index.html"])
def test_bytes_are_those_on_disk_whatever_the_client_can_unpack(site: _Site, path: str) -> None:
    answer = site.get(path, Accept_Encoding="gzip, br")
    assert answer.headers.get("Content-Encoding") is None
    assert answer.body == _TREE[path[1:]]
    assert answer.headers["Content-Length"] == str(len(answer.body))


def test_a_compressed_index_is_sent_as_it_is(site: _Site) -> None:
    answer = site.get(f"/{_SUITE}/main/binary-amd64/Packages.gz")
    assert answer.headers.get("Content-Encoding") is None
    assert answer.body == _TREE[f"{_SUITE}/main/binary-amd64/Packages.gz"]


def test_files_are_sent_and_never_interpreted(site: _Site) -> None:
    assert site.get("/json-prod/tool/tool_1.var").body == _TREE["json-prod/tool/tool_1.var"]


def test_no_request_is_sent_back(site: _Site) -> None:
    answer = site.get("/repo-key", "TRACE", X_Secret="of a proxy")
    assert (answer.status, b"of a proxy" in answer.body) == (405, False)


@pytest.mark.parametrize("path", ["/repo-key", f"/{_SUITE}/InRelease", f"/{_SUITE}/Release"])
def test_browsers_show_the_texts(site: _Site, path: str) -> None:
    assert site.get(path).headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize("path", ["/apt-prod", "//apt-prod", "/apt-prod/pool"])
def test_a_directory_without_its_slash_leads_to_no_other_address(site: _Site, path: str) -> None:
    """Behind a proxy with TLS, clients would be led to an address without it, or to a port that they can't reach."""
    answer = site.get(path)
    assert answer.status == 301
    # Apache can't: it goes by ServerName, or by the host that was asked.
    top = "" if answer.headers["Server"].startswith("nginx") else r"https?://repo\.example\.com/?"
    assert re.fullmatch(f"{top}/{path.lstrip('/')}/", answer.headers["Location"])


def test_the_top_is_the_landing_page(site: _Site) -> None:
    assert site.get("/").body == _TREE["index.html"]


def test_directories_are_listed_without_what_is_hidden(site: _Site) -> None:
    listing = site.get("/apt-prod/")
    assert listing.status == 200
    assert b'href="pool/"' in listing.body
    assert b"secret" not in listing.body
    assert b"htaccess" not in listing.body
    assert b"hello_1.0_amd64.deb" in site.get("/apt-prod/pool/hello/").body
