"""A browser runs nothing of what somebody has uploaded: it would have the landing page's origin."""

import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from packrat_agent.formats.interface import WebServer
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import Repo
from packrat_agent.web.site_files import Site, write_site
from support.browser import Browser, chromium
from support.web import web_server
from support.web_servers import front

_SCRIPT = b"document.title = 'ran'"
_PAGE = b"<!DOCTYPE html><title>asleep</title><script>" + _SCRIPT + b"</script>"
_IMAGE = b'<svg xmlns="http://www.w3.org/2000/svg"><title>asleep</title><script>' + _SCRIPT + b"</script></svg>"
# Apache takes each part of a name that is between two dots for an ending.
_UPLOADED = {
    "json-prod/page/page_1.html": _PAGE,
    "json-prod/page/page_1.svg": _IMAGE,
    "json-prod/page/page_1": _PAGE,
    "json-prod/home/index.html": _PAGE,
    "pypi-prod/packages/page/page-1+a.html.b-py3-none-any.whl.metadata": _PAGE,
    "apt-prod/pool/page/page_1+a.html.b_all.ddeb": _PAGE,
    # An artifact of an image may be anything. Apache gives it no type, so that a browser looks into it.
    f"docker-prod/v2/page/blobs/sha256:{'0' * 64}": _PAGE,
}
_REPOS = tuple(Repo(f"{kind}-prod", "", f"{kind}-prod", kind, ()) for kind in ("json", "pypi", "apt", "docker"))


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="up-", dir="/tmp"))
    place.chmod(0o755)
    beside = {"index.html": _PAGE, "json-prod/_repo_main/MANIFEST_all.json": b"{}", "pypi-prod/simple/index.html": b""}
    for path, content in {**_UPLOADED, **beside}.items():
        (place / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (place / "root" / path).write_bytes(content)
    yield place / "root"
    shutil.rmtree(place)


@pytest.fixture(scope="module", params=["nginx", "apache", "built in"])
def url(request: pytest.FixtureRequest, root: Path) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "built in":
            yield stack.enter_context(web_server(root))
            return
        server, place = WebServer(request.param), root.parent / request.param
        place.mkdir()
        site = write_site(server, root, Site("repo.example.com"), _REPOS, FORMATS)
        yield stack.enter_context(front(server, site, place))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def _title(browser: Browser, url: str) -> str:
    page = browser.open(url)
    return str(page.call("Page.getNavigationHistory")["entries"][-1]["title"])


def test_the_browser_of_this_test_runs_scripts(browser: Browser, url: str) -> None:
    assert _title(browser, f"{url}/") == "ran"


@pytest.mark.parametrize("path", _UPLOADED)
def test_uploaded_pages_run_no_script(browser: Browser, url: str, path: str) -> None:
    assert _title(browser, f"{url}/{path}") != "ran"


@pytest.mark.parametrize("path", [path for path in _UPLOADED if not path.startswith("docker")])
def test_all_servers_say_so_in_the_header_that_doctor_looks_for(url: str, path: str) -> None:
    with urllib.request.urlopen(f"{url}/{path}") as answer:
        assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "//json-prod/page/page_1.html",
        "/json-prod//page//page_1.html",
        "/json-prod/page/page%5f1%2ehtml",
        "/json-prod/home/",
    ],
)
def test_nor_does_it_by_another_spelling_of_its_address(browser: Browser, url: str, path: str) -> None:
    assert _title(browser, f"{url}{path}") != "ran"
