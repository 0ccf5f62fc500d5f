"""The landing page says what it is given, as text: names and descriptions come from strangers."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.formats.interface import ClientSetup
from packrat_agent.model.key_places import MAIN_KEY, own_key_place
from packrat_agent.model.records import Repo
from packrat_agent.site_page.landing_page import write_page
from packrat_agent.site_page.page_style import PAGE_POLICY, SCRIPT_PATH, SCRIPT_SOURCE
from packrat_agent.site_page.repository_section import Images, Introduction, KeyShown

_KEY = KeyShown(MAIN_KEY, "0123456789ABCDEF0123456789ABCDEF01234567")
_ODD = st.text(st.sampled_from("<>&'\"/= ax\u2028`{}"), max_size=30)


@dataclass(frozen=True)
class _Read:
    """The elements of a page with their attributes, and its text."""

    elements: list[tuple[str, list[str]]]
    text: str


def read(page: str) -> _Read:
    """Read a page as a browser does."""
    elements: list[tuple[str, list[str]]] = []
    text: list[str] = []
    reader = HTMLParser(convert_charrefs=True)
    reader.__dict__.update(
        handle_starttag=lambda tag, attributes: elements.append((tag, [name for name, _ in attributes])),
        handle_data=text.append,
    )
    reader.feed(page)
    return _Read(elements, "".join(text))


def introduce(text: str) -> Introduction:
    """A repository with the text in each place that others choose."""
    return Introduction(
        Repo(text, text, text, "docker", ()),
        [ClientSetup(text, text, text)],
        [ClientSetup(text, text, f"{text} with TLS")],
        signed=None,
        published_at=1.0,
        packages=3,
        images=Images(f"host/{text}", [text]),
    )


@settings(deadline=None)
@given(_ODD)
def test_no_text_becomes_an_element_or_an_attribute(text: str) -> None:
    plain, odd = (read(write_page(word, [introduce(word)], None)) for word in ("word", text or "x"))
    assert odd.elements == plain.elements
    assert text in odd.text


def test_the_policy_allows_the_one_script_and_no_other() -> None:
    page = write_page("", [introduce("word")], _KEY)
    head = page.partition("</head>")[0]
    assert head.index("Content-Security-Policy") < head.index("<style>") < head.index("<script")
    policy = dict(part.strip().split(" ", 1) for part in PAGE_POLICY.split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == f"'{SCRIPT_SOURCE}'"
    assert "unsafe" not in PAGE_POLICY
    assert re.findall(r"<script[^>]*>[^<]*", page) == [
        f'<script src="{SCRIPT_PATH}" integrity="{SCRIPT_SOURCE}" defer>'
    ]
    assert not re.search(r"\son[a-z]+=|\sstyle=", page)


def test_each_repository_says_how_what_comes_from_it_is_checked() -> None:
    own = KeyShown(own_key_place("b"), "F" * 40)
    repos = [Repo(name, "", name, "apt", ()) for name in "abc"]
    page = write_page(
        "",
        [
            Introduction(repos[0], [], signed="the lists", key=_KEY),
            Introduction(repos[1], [], signed="the lists", key=own),
            Introduction(repos[2], [], key=_KEY),
        ],
        _KEY,
    )
    sections = page.split("<section ")[1:]
    assert "Signed: the lists.</p>" in sections[0]
    assert "Its own key:" in sections[1]
    assert " ".join(["FFFF"] * 10) in sections[1]
    assert "Nothing in it is signed. Clients check each file by its hash" in sections[2]
    assert "0123 4567 89AB CDEF 0123 4567 89AB CDEF 0123 4567" in page
    assert re.findall(r'<span class="mark \w+">([^<]+)', page) == ["signed", "signed", "checked by hash"]


def test_without_a_key_a_list_or_an_address_nothing_is_promised() -> None:
    page = write_page("", [Introduction(Repo("a", "", "a", "apt", ()), [])], None)
    assert "The repositories here are not signed." in page
    assert 'id="search"' not in page
    assert "address-note" not in page
    assert "No repositories yet." in write_page("", [], None)
