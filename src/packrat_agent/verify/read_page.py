"""Reads the links of a page of a Python index: accepts only the plain HTML of such an index, within size limits."""

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
    """Return the links of a page in order: the attributes of each, and its text as `text`.

    Raises:
        ValueError: The page is truncated, too large, or has other markup than an index has, which each client would
            interpret in its own way.
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
        # Links must not be nested, and nothing else may be inside one.
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
        raise ValueError("is not a complete page")
    return links
