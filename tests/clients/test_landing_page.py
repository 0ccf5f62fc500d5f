"""The landing page in a browser: read, searched and used by keyboard, wide and on a phone, light and dark."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from packrat_agent.model.paths import PAGE_DIR
from packrat_agent.site_page.site_files import LANDING_PAGE
from packrat_demo.build_deb import Deb
from support.browser import Browser, Page, chromium
from support.every_type import fill, mirror_of_all
from support.keys import Key
from support.stage import Stage
from support.web import web_server

AXE = Path(".cache/axe/axe_playwright_python/axe.min.js")
HOSTILE = "<img src=x onerror=\"document.title='harmed'\"><script>document.title='harmed'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[tuple[Stage, str]]:
    """A mirror of every type that does not know its address, and the address."""
    with mirror_of_all(tmp_path_factory.mktemp("page"), key) as lab:
        lab.extra = {}
        lab.write_config()
        fill(lab)
        lab.agent("sync")
        with web_server(lab.www) as url:
            yield lab, url


def search(page: Page, words: str) -> list[list[str]]:
    """Type words into the search; gives the rows of the result."""
    page.run(f"document.getElementById('words').value = {json.dumps(words)}")
    page.run("document.getElementById('search').requestSubmit()")
    page.until("/result|can't/.test(document.getElementById('status').textContent)")
    rows = page.run(
        "[...document.querySelectorAll('#found tbody tr')].map((r) => [...r.cells].map((c) => c.innerText))"
    )
    return [[str(cell) for cell in row] for row in rows]


_BROKEN_WORDS = """
for (const link of document.querySelectorAll("table.stacked tbody a")) link.textContent = "name".repeat(10);
[...document.querySelectorAll('table.stacked thead th, td[data-label="Type"]')].filter((cell) => {
  const word = document.createRange();
  word.selectNodeContents(cell);
  return !/\\s/.test(cell.textContent) && new Set([...word.getClientRects()].map((line) => line.top)).size > 1;
}).map((cell) => cell.textContent)
"""
"""The short words that go over two lines where names are long."""


@pytest.mark.parametrize("path", ["/", "/apt-dev/", "/apt-dev/pool/first/"])
@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_off_and_axe_finds_no_barrier(
    browser: Browser, site: tuple[Stage, str], width: int, is_dark: bool, path: str
) -> None:
    page = browser.open(f"{site[1]}{path}", width=width, is_dark=is_dark)
    if path == "/":
        assert search(page, "e")
        page.run("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(_BROKEN_WORDS) == []
    cut = "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)"
    assert page.run(f"{cut}.map((e) => e.outerHTML)") == []
    assert page.complaints() == []
    page.run(AXE.read_text())
    found = page.run(
        "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })"
        ".then((result) => JSON.stringify({ bad: result.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]),"
        " passes: result.passes.length }))"
    )
    assert json.loads(found)["bad"] == []
    assert json.loads(found)["passes"] > 10


def test_a_package_of_each_type_is_found_with_its_version_and_architecture(
    browser: Browser, site: tuple[Stage, str]
) -> None:
    page, host = browser.open(site[1]), site[1].removeprefix("http://")
    assert search(page, "first") == [["first", "1", "bookworm", "amd64", "apt-dev"]]
    assert search(page, "SOME.p") == [
        ["Some.Project", "2.0", "", "all", "pypi-dev"],
        ["Some.Project", "1.0", "", "all", "pypi-dev"],
    ]
    assert sorted(search(page, "two")) == [
        ["two", "1-1", "rhel 9", "noarch", "yum-dev"],
        ["two", "1-1", "sles 15", "noarch", "yum-dev"],
    ]
    # Clients pull an image by this name.
    assert search(page, "tool") == [[f"{host}/docker-dev/tool:3", "3", "", "amd64 arm64", "docker-dev"]]
    assert search(page, "no-such-package") == []


def test_the_exact_name_is_shown_first_however_much_another_repository_has(
    browser: Browser, site: tuple[Stage, str]
) -> None:
    page = browser.open(site[1])
    # Only what comes over the network is made up.
    found = page.run(
        """(async () => {
        const list = (name, packages) => {
          const made = new PackageList({ dataset: { repository: name, packages: "none" } });
          const index = { packages: packages.length, shards: [["", "shard", 1, packages.length]] };
          made.get = async (file) => (file === "index.json" ? index : { packages });
          return made;
        };
        const versions = [["1", "", "all"]];
        const many = Array.from({ length: 300 }, (_, number) => [`python3-lib${number}`, versions]);
        const search = new Search([list("first", many), list("second", [["python3", versions]])]);
        search.words.value = "python3";
        await search.run();
        return document.querySelector("#found tbody tr").cells[0].innerText;
        })()"""
    )
    assert found == "python3"


def test_the_address_is_filled_in_by_the_script_and_explained_without_it(
    browser: Browser, site: tuple[Stage, str]
) -> None:
    host = site[1].removeprefix("http://")
    page = browser.open(site[1])
    text = page.run("document.body.textContent")
    assert "THIS-HOST" not in text.replace("in the place of THIS-HOST", "")
    assert f"podman pull --tls-verify=false '{host}/docker-dev/tool:latest'" in text
    assert f"pip config set global.trusted-host '{host}'" in text
    assert page.run("document.querySelector('.address-note').hidden")
    plain = browser.open(site[1], script=False)
    shown = plain.call("DOM.getDocument", depth=-1)
    assert "put the address of this site in the place of THIS-HOST" in json.dumps(shown)
    assert "data-https" in json.dumps(shown)


@pytest.mark.parametrize("odd", ["$(id)", ";id;", "a&b", "it's", "a|b"])
def test_nothing_of_an_address_gets_into_the_lines_that_a_shell_would_run(
    browser: Browser, site: tuple[Stage, str], tmp_path: Path, odd: str
) -> None:
    # A web server may have the mirror anywhere.
    shutil.copytree(site[0].www, tmp_path / odd, symlinks=True)
    with web_server(tmp_path) as url:
        page = browser.open(f"{url}/{odd}/")
        lines = page.run("[...document.querySelectorAll('pre')].map((e) => e.textContent).join('\\n')")
        found = re.findall(r"http://\S+/pypi-dev/simple/", lines)
        [address] = {word.removesuffix("/pypi-dev/simple/") for word in found}
        assert re.fullmatch(r"http://[\w.:]+/[A-Za-z0-9%]+", address)
        assert unquote(address) == f"{url}/{odd}"


def test_the_page_tells_how_long_ago_something_was_published(browser: Browser, site: tuple[Stage, str]) -> None:
    page = browser.open(site[1])
    page.run("document.querySelector('time').setAttribute('datetime', new Date(Date.now() - 200000).toISOString())")
    page.run("showAges()")
    assert page.run("document.querySelector('time').nextElementSibling.textContent") == " (3 minutes ago)"


def test_the_page_is_used_by_keyboard_alone(browser: Browser, site: tuple[Stage, str]) -> None:
    page = browser.open(site[1])
    # A browser without a window has no clipboard.
    page.run(
        "document.execCommand = () => true; Object.defineProperty(window, 'isSecureContext', { value: false });"
        " undefined"
    )
    seen = []
    while "words" not in seen:
        page.press("Tab")
        seen.append(page.run("document.activeElement.id"))
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
        assert len(seen) < 40
    page.type("first")
    page.press("Enter")
    page.until("document.getElementById('status').textContent === '1 result.'")
    while page.run("document.activeElement.className") != "copy":
        page.press("Tab")
    page.press("Enter")
    page.until("document.getElementById('told').textContent === 'Copied'")
    assert page.run("document.activeElement.className") == "copy"


def test_hostile_names_are_shown_and_do_nothing(browser: Browser, site: tuple[Stage, str]) -> None:
    page = browser.open(site[1])
    page.run(
        f"""new Search([]).show([{{ list: {{ image: "", name: {json.dumps(HOSTILE)} }}, rank: 0,
        name: {json.dumps(HOSTILE)}, version: {json.dumps(HOSTILE)}, release: "", arches: "" }}], "x"); undefined"""
    )
    assert page.run("document.querySelectorAll('#found img, #found script').length") == 0
    assert HOSTILE in page.run("document.getElementById('found').textContent")


def test_the_policy_stops_what_gets_into_a_page_all_the_same(
    browser: Browser, site: tuple[Stage, str], tmp_path: Path
) -> None:
    www = site[0].www
    shutil.copytree(www / PAGE_DIR, tmp_path / PAGE_DIR)
    page = (www / LANDING_PAGE).read_text()
    (tmp_path / LANDING_PAGE).write_text(page.replace("<p>apt-dev</p>", f"<p>apt-dev{HOSTILE}</p>"))
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / HOSTILE.replace("/", "_")).write_text("harmless")
    with web_server(tmp_path) as url:
        injected = browser.open(url)
        assert injected.run("document.querySelectorAll('img').length") == 1
        assert any("Content Security Policy" in told for told in injected.complaints())
        assert injected.run("document.title") == "the lab's mirror"
        # The page's own script runs.
        assert injected.run("document.querySelectorAll('button.copy').length") > 5
        listing = browser.open(f"{url}/directory/")
        assert "onerror" in listing.run("document.querySelector('table').textContent")
        assert listing.run("document.querySelectorAll('img, script').length") == 0


def test_an_open_page_finds_what_is_published_later(browser: Browser, site: tuple[Stage, str]) -> None:
    lab, url = site
    page = browser.open(url)
    assert search(page, "late-") == []
    lab.server.put_deb(Deb("late-one", "1", "amd64"))
    lab.agent("sync")
    # The index is kept for half a minute.
    page.run("{ const real = Date.now; Date.now = () => real() + 60000; }")
    # A shard that has gone since the index was read: the index is read again.
    page.run(
        """{ const real = window.fetch; let missing = 1; window.fetch = (address, options) =>
        /[0-9a-f]{64}/.test(address) && missing-- > 0 ? Promise.resolve(new Response("", { status: 404 }))
        : real(address, options); }"""
    )
    assert search(page, "late-") == [["late-one", "1", "bookworm", "amd64", "apt-dev"]]
    page.run("window.fetch = () => Promise.reject(new Error('away')); Date.now = () => 9e12")
    assert search(page, "late") == []
    assert page.run("document.getElementById('status').textContent") == (
        "The list of packages can't be read (away); try again."
    )
