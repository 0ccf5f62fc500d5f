"""Parses a JSON list of texts as it comes, so that a long list never stands in memory as a whole.

    texts = TextList(size=300_000_000)
    for chunk in chunks:
        use(texts.feed(chunk))
    texts.end()

Source: RFC 8259, sections 2, 5 and 7.
"""

import json
import re

from packrat_core.cinp.limits import TooMuch

_SPACE = b" \t\r\n"
_TEXT_LIMIT = 16 * 1024
"""Bytes of the longest text that is read; a URI has some dozens."""
_SEPARATORS = frozenset((",", ", "))
_TEXT = re.compile(rb'[ \t\r\n]*"((?:[^"\\\x00-\x1f]|\\.)*+)"[ \t\r\n]*([,\]])', re.DOTALL)


class NotAList(ValueError):
    """It is JSON of another shape, or no JSON."""


class TextList:
    """The part of one list that has come so far.

    Attributes:
        count: The number of texts so far, each as often as it came.
    """

    def __init__(self, size: int) -> None:
        """Accept at most this number of bytes."""
        self.count = 0
        self._size_left = size
        self._size = size
        self._rest = b""
        self._begun = False
        self._ended = False

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes, and give the texts that are complete with them.

        Raises:
            NotAList: It is not a JSON list of texts.
            TooMuch: It has too many bytes.
        """
        self._size_left -= len(data)
        if self._size_left < 0:
            raise TooMuch(f"more than {self._size} bytes")
        rest = self._rest + data
        if not self._begun:
            rest = rest.lstrip(_SPACE)
            if not rest:
                self._rest = b""
                return []
            if not rest.startswith(b"["):
                raise NotAList
            self._begun = True
            rest = rest[1:]
        return self._take(rest)

    def end(self) -> None:
        """Note that nothing follows.

        Raises:
            NotAList: The list has no end.
        """
        if not self._ended:
            raise NotAList

    def _take(self, rest: bytes) -> list[str]:
        found, at = ([], 0) if self._ended else _take_plain(rest)
        while not self._ended and (match := _TEXT.match(rest, at)):
            found.append(_decode(match[1]))
            at = match.end()
            self._ended = match[2] == b"]"
        self.count += len(found)
        rest = rest[at:].lstrip(_SPACE)
        if not self._ended and not self.count and rest.startswith(b"]"):
            self._ended, rest = True, rest[1:].lstrip(_SPACE)
        # What is left is the beginning of a text, at most.
        if rest and (self._ended or not rest.startswith(b'"') or len(rest) > _TEXT_LIMIT):
            raise NotAList
        self._rest = rest
        return found


def _take_plain(rest: bytes) -> tuple[list[str], int]:
    """Take texts without escapes all at once, up to the last comma; gives them, and where they end."""
    end = rest.rfind(b",") + 1
    plain = rest[:end]
    if not plain.isascii() or b"\\" in plain or not (text := plain.decode("ascii")).isprintable():
        return [], 0
    # Without escapes, each quotation mark begins or ends a text.
    before, *parts = text.split('"')
    texts, between = parts[::2], parts[1::2]
    if before or len(texts) != len(between) or not _SEPARATORS.issuperset(between):
        return [], 0
    return texts, end


def _decode(text: bytes) -> str:
    try:
        found = text.decode()
        if "\\" in found:
            found = json.loads(f'"{found}"')
    except ValueError:
        raise NotAList from None
    # A lone surrogate can't be written anywhere.
    if not found.isascii() and any("\ud800" <= char <= "\udfff" for char in found):
        return found.encode("utf-8", "backslashreplace").decode()
    return found
