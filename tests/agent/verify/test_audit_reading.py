"""What an audit reads is read within bounds, and whatever it is, ValueError is the worst that happens."""

import base64
import gzip
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.verify.findings import is_plain
from packrat_agent.verify.read_page import read_page
from packrat_agent.verify.read_xml import Element, read_elements, unpack
from packrat_agent.verify.repodata import read_metalink, read_repomd
from packrat_agent.verify.signatures import read_keys

_PIECES = ["<", ">", "/", "<repomd>", "</repomd>", "<data type='primary'>", "</data>", "<size>1</size>", "<!--", "&lt;"]


@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=5)))
def test_any_text_is_read_or_refused(chunks: list[str]) -> None:
    for read in (read_repomd, read_metalink):
        try:
            read("".join(chunks).encode("utf-8", "surrogatepass"))
        except ValueError:
            continue


@given(st.lists(st.binary(max_size=50)))
def test_elements_are_the_same_however_the_document_is_cut(texts: list[bytes]) -> None:
    wanted = [base64.b64encode(text).decode() for text in texts]
    document = f"<a>{''.join(f'<b n={chr(34)}{text}{chr(34)}><c/>{text}</b>' for text in wanted)}</a>".encode()
    for size in (1, 7, 1000):
        chunks = [document[at : at + size] for at in range(0, len(document), size)]
        found = list(read_elements(chunks, {"a/b"}))
        assert [element.text for element in found] == [element.attributes["n"] for element in found] == wanted


def _documents(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    inside = st.lists(children | st.sampled_from(["x", " ", "&amp;", "\n"]), max_size=4).map("".join)
    return st.tuples(st.sampled_from("abc"), st.sampled_from(["", ' n="1"']), inside).map(
        lambda part: f"<{part[0]}{part[1]}>{part[2]}</{part[0]}>"
    )


def _expected(element: ElementTree.Element, path: str, wanted: set[str]) -> Iterator[Element]:
    for child in element:
        yield from _expected(child, f"{path}/{child.tag}", wanted)
    if path in wanted:
        text = element[-1].tail if len(element) else element.text
        yield Element(path, element.attrib, (text or "").strip())


@given(
    st.recursive(st.just("<a/>"), _documents, max_leaves=20),
    st.sets(st.sampled_from(["a", "b", "a/a", "a/b/c", "b/a"])),
)
def test_the_wanted_elements_are_those_that_another_reader_finds(document: str, wanted: set[str]) -> None:
    root = ElementTree.fromstring(document)
    assert list(read_elements([document.encode()], wanted)) == list(_expected(root, root.tag, wanted))


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b"<a>" * 100 + b"</a>" * 100,
        b"<a>" + b"x" * 100_000 + b"</a>",
        b"<" + b"a" * 1000 + b"/>",
        b"<a>",
        b"",
        b'<?xml version="1.0" encoding="UTB-8"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b'<?xml version="1.0" encoding="rot13"?><a/>',
        b'<?xml version="1.0" encoding="idna"?><a/>',
    ],
    ids=[
        "entity",
        "external",
        "deep",
        "long text",
        "long name",
        "torn",
        "empty",
        "unknown",
        "multi-byte",
        "text",
        "idna",
    ],
)
def test_xml_that_no_index_has_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError):
        list(read_elements([document], {"a"}))


def test_a_tag_without_end_is_not_kept() -> None:
    chunks = (b"<a " if at == 0 else b" " * 1024 * 1024 for at in range(1000))
    with pytest.raises(ValueError, match="has a tag of more than"):
        list(read_elements(chunks, {"a"}))


def test_gzip_is_unpacked_as_far_as_it_may() -> None:
    packed = gzip.compress(b"one") + gzip.compress(bytes(10_000_000))
    assert sum(map(len, unpack(packed, 10_000_003))) == 10_000_003
    for broken, limit in ((packed, 10_000_002), (packed[:-1], 10**9), (b"x" + packed, 10**9)):
        with pytest.raises(ValueError):
            list(unpack(broken, limit))


@given(st.binary(min_size=1).filter(lambda keys: b"-----BEGIN" not in keys))
def test_keys_are_read_armored_or_not(keys: bytes) -> None:
    text = base64.encodebytes(keys)
    begin, end = (f"-----{word} PGP PUBLIC KEY BLOCK-----\n".encode() for word in ("BEGIN", "END"))
    armored = begin + b"Comment: x\n\n" + text + b"=abcd\n" + end
    assert read_keys(armored) == read_keys(armored.replace(b"\n", b"\r\n")) == read_keys(keys) == keys
    for broken in (armored[:-30], armored + armored, begin + b"\n\n*" + end):
        with pytest.raises(ValueError):
            read_keys(broken)


def test_a_plain_path_stays_where_it_begins() -> None:
    assert is_plain("a/b.c/..d")
    for path in ("", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/\0", "a\n", "\ud800", "\x1b[1m"):
        assert not is_plain(path)


_MARKUP = [
    "<",
    ">",
    "</html>",
    '<a href="x">',
    "</a>",
    "<br>",
    "<!--",
    "-->",
    "<script>",
    "&gt;",
    '"',
    "<a",
    "<A HREF=x>",
]


@given(st.lists(st.sampled_from(_MARKUP) | st.text(max_size=5)))
def test_any_page_is_read_or_refused(chunks: list[str]) -> None:
    try:
        links = read_page("".join(chunks).encode("utf-8", "surrogatepass"))
    except ValueError:
        return
    assert len(links) == chunks.count('<a href="x">')


def test_a_page_gives_its_links() -> None:
    page = b'<!DOCTYPE html>\n<html lang="en"><a href="../a#sha256=0" data-x="&gt;=3">a &amp; b</a><br></html>\n'
    assert read_page(page) == [{"href": "../a#sha256=0", "data-x": ">=3", "text": "a & b"}]


@pytest.mark.parametrize(
    "page",
    [
        b'<html lang="en"><!-- <a href="x">x</a> --></html>',
        b'<a href="x">x</a>',
        b'<a href="x">x</html>',
        b'<a href="x">x</a></html><a href="y">y</a>',
        b'<a href="x" href="y">x</a></html>',
        b"<a href=x>x</a></html>",
        b'<base href="http://example.com/"></html>',
        b"<!" * 20_000_000,
        b"<a " * 20_000_000,
        b'<a href="x">' * 1_000_000,
        b'<a href="x">x</a>' * 600_000 + b"</html>",
        b"x" * 70_000_000,
        b"",
    ],
    ids=lambda page: page[:20].decode(),
)
def test_html_that_no_page_has_is_refused(page: bytes) -> None:
    with pytest.raises(ValueError):
        read_page(page)
