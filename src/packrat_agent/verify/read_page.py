"""Reads the pages of a Python index: only the plain HTML that an index is made of, in bounds, in one go.

Takes: the bytes of a page.
Gives: its links.
Touches: nothing.
"""

import re
from collections.abc import Mapping
from html import unescape

_PAGE_LIMIT = 64 * 1024 * 1024
_LINKS_LIMIT = 500_000
_PIECE = re.compile(r"<([^<>]{1,20000})>([^<>]{0,20000})")
_LINK = re.compile(r'a((?: [a-z-]{1,40}="[^"]*")*)')
_ATTRIBUTE = re.compile(r' ([a-z-]+)="([^"]*)"')
_OTHER = re.compile(
    r'!DOCTYPE html|meta [a-z]+="[^"]*"(?: content="[^"]*")?|html lang="en"|/?(?:head|title|body|h1)|br'
)
_END = "/html"


def read_page(content: bytes) -> list[Mapping[str, str]]:
    """Give the links of a page in its order: their attributes, and their text as `text`.

    Raises: ValueError where it is cut off, too large, or has markup that no index has: what clients make of that is
    up to each of them.
    """
    if len(content) > _PAGE_LIMIT:
        raise ValueError(f"has more than {_PAGE_LIMIT} bytes")
    page = content.decode("utf-8", "replace")
    links: list[Mapping[str, str]] = []
    at, is_open, tag = 0, False, ""
    while at < len(page):
        piece = _PIECE.match(page, at)
        if piece is None or tag == _END:
            raise ValueError(f"has markup that no index has: {page[at : at + 60]!r}")
        at, tag = piece.end(), piece[1]
        link = _LINK.fullmatch(tag)
        if link is not None and not is_open:
            pairs = _ATTRIBUTE.findall(link[1])
            if len(links) >= _LINKS_LIMIT or len(dict(pairs)) != len(pairs):
                raise ValueError(f"has more than {_LINKS_LIMIT} links, or an attribute twice")
            links.append({"href": "", **{name: unescape(value) for name, value in pairs}, "text": unescape(piece[2])})
            is_open = True
        elif is_open and tag == "/a":
            is_open = False
        elif is_open or (tag != _END and not _OTHER.fullmatch(tag)):
            raise ValueError(f"has markup that no index has: <{tag[:60]!r}>")
    if tag != _END:
        raise ValueError("is no whole page")
    return links
