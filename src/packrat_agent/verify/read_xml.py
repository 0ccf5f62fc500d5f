"""Reads untrusted XML as a stream, in bounded memory, and yields the wanted elements.

Document types, and with them entities of the document's own, are refused.
"""

import gzip
import io
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from xml.parsers import expat

_CHUNK_BYTES = 1024 * 1024
_DEPTH_LIMIT = 32
_NAME_LIMIT = 256
_TEXT_LIMIT = 64 * 1024
_TOKEN_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Element:
    """One complete element.

    Attributes:
        path: The names of the elements from the root down to this one, separated by slashes.
        attributes: Its attributes.
        text: The text after its last child, without surrounding whitespace.
    """

    path: str
    attributes: Mapping[str, str]
    text: str


def read_elements(chunks: Iterable[bytes], wanted: Collection[str]) -> Iterator[Element]:
    """Yield the wanted elements, children before their parents.

    Args:
        chunks: The document, in chunks of any size.
        wanted: Paths of the wanted elements.

    Raises:
        ValueError: The document is not XML, or exceeds a limit that no index exceeds.
    """
    parser = expat.ParserCreate()
    collector = _Collector(frozenset(wanted))
    # Otherwise each line of a text comes alone.
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.add_text
    fed = 0
    try:
        for chunk in chunks:
            parser.Parse(chunk, False)
            fed += len(chunk)
            # Expat buffers an unfinished tag completely, so limit its size.
            if fed - parser.CurrentByteIndex > _TOKEN_LIMIT:
                raise ValueError(f"has a tag of more than {_TOKEN_LIMIT} bytes")
            yield from collector.take()
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError) as error:
        # LookupError: it declares an encoding that Python does not know.
        raise ValueError(f"is not XML: {error}") from None
    yield from collector.take()


def unpack(packed: bytes, limit: int) -> Iterator[bytes]:
    """Decompress gzip data of any number of members, in chunks.

    Raises:
        ValueError: It is truncated, damaged, or unpacks to more than `limit` bytes.
    """
    size = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            while chunk := file.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    raise ValueError(f"unpacks to more than {limit} bytes")
                yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"can't be unpacked: {error}") from None


def _refuse(*_: object) -> None:
    raise ValueError("has a document type, which no index has")


class _Collector:
    """The callbacks for expat: tracks the current path and collects the wanted elements."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._path: list[str] = []
        self._open: list[tuple[dict[str, str], list[str]] | None] = []
        self._size = 0
        self._done: list[Element] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= _DEPTH_LIMIT or len(name) > _NAME_LIMIT:
            raise ValueError(f"is nested more than {_DEPTH_LIMIT} deep, or has a name of more than {_NAME_LIMIT}")
        # Only the text after the last child counts, so drop what the parent has so far.
        if self._open and (parent := self._open[-1]) is not None:
            parent[1].clear()
        self._path.append(f"{self._path[-1]}/{name}" if self._path else name)
        self._open.append((attributes, []) if self._path[-1] in self._wanted else None)
        self._size = 0

    def end(self, _name: str) -> None:
        path, element = self._path.pop(), self._open.pop()
        if element is not None:
            self._done.append(Element(path, element[0], "".join(element[1]).strip()))

    def add_text(self, text: str) -> None:
        element = self._open[-1] if self._open else None
        if element is not None:
            self._size += len(text)
            if self._size > _TEXT_LIMIT:
                raise ValueError(f"has a text of more than {_TEXT_LIMIT} characters")
            element[1].append(text)

    def take(self) -> list[Element]:
        done, self._done = self._done, []
        return done
