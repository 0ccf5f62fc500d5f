"""Reads from METADATA or PKG-INFO the fields that an index lists: name, version and Requires-Python.

Source: Core metadata specifications 2.4, PEP 440, PEP 508.
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from packrat_core.errors import Refused
from packrat_core.packages.python.spellings import is_project_name, version_of

_FIELD = re.compile(rb"([!-9;-~]+):[ \t]*(.*)")
_NAME_LIMIT = 200
_VERSION_LIMIT = 100
_REQUIRES_LIMIT = 1000
_FOLDED_LIMIT = 64 * 1024
"""Bytes of a folded field, with the blank space in it."""
_PASSED_OVER = (b"From ", b":")
"""Beginnings of lines that are not fields, but that clients pass over."""
_NEVER_FOLDED = frozenset({b"name", b"version"})
_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OURS = frozenset({b"name", b"version", b"requires-python"})


@dataclass(frozen=True, slots=True)
class CoreMetadata:
    """The fields of a distribution; `requires_python` is '' if it is not given."""

    name: str
    version: str
    requires_python: str


def read_metadata(content: bytes) -> CoreMetadata:
    """Read and check the fields that go into an index.

    Raises:
        Refused: a field is missing, given twice, or unusable.
    """
    fields = _fields(content)
    name = _value(fields, b"name", _NAME_LIMIT)
    version = _value(fields, b"version", _VERSION_LIMIT)
    if fields[b"name"].decode("utf-8") != name:
        raise Refused("its metadata has white space within or behind its Name, which pip and uv can't read")
    if not is_project_name(name):
        raise Refused(f"its metadata has an unusable Name: {name[:60]!r}")
    read_version(version, "its metadata")
    requires = _value(fields, b"requires-python", _REQUIRES_LIMIT) if b"requires-python" in fields else ""
    return CoreMetadata(name, version, requires)


def read_version(text: str, where: str) -> Version:
    """Parse a version; `where` says in messages where it was found.

    Raises:
        Refused: the text is not a version by PEP 440.
    """
    try:
        if len(text) > _VERSION_LIMIT:
            raise InvalidVersion
        return version_of(text)
    except (InvalidVersion, ValueError):
        raise Refused(f"{where} has version {text[:60]!r}, which is not a version by PEP 440") from None


def check_text(content: bytes) -> None:
    """Check that clients can read METADATA as text; they read all of it, also what no index lists.

    Raises:
        Refused: it is not UTF-8, or begins with a byte order mark, behind which clients find no field.
    """
    if content.startswith(_BYTE_ORDER_MARKS):
        raise Refused(
            "its METADATA begins with a byte order mark, behind which pip and uv find no Name", hint="rewrite it"
        )
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(
            f"its METADATA is not UTF-8 (byte {error.start}: {content[error.start]:#04x}), so pip can't read it",
            hint="build it again, with its texts in UTF-8",
        ) from None


def _fields(content: bytes) -> dict[bytes, bytes]:
    """Map the names of the fields in `_OURS` to their values.

    As in clients, the fields end at the first line that is not one: empty, or anything else.
    """
    fields: dict[bytes, bytes] = {}
    current = b""
    # The parser of email, which pip uses, ends a line at a carriage return even without a newline behind it.
    text = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in content else content
    for line in text.removeprefix(codecs.BOM_UTF8).split(b"\n"):
        if not line:
            break
        # A folded line continues the field before it; it is kept only for a field that an index lists.
        if line[:1] in (b" ", b"\t"):
            if current in fields and current in _NEVER_FOLDED:
                raise Refused(f"its metadata has a {current.decode().title()} that is folded, which pip can't read")
            if current in fields:
                fields[current] += b" " + line
                # A line may be folded a million times.
                if len(fields[current]) > _FOLDED_LIMIT:
                    raise Refused(f"its metadata has a {current.decode().title()} of too many lines")
            continue
        match = _FIELD.fullmatch(line)
        if match is None and line.startswith(_PASSED_OVER):
            current = b""
            continue
        if match is None:
            break
        current = match[1].lower()
        if current not in _OURS:
            continue
        if current in fields:
            raise Refused(f"its metadata has the field {match[1].decode()} twice")
        fields[current] = match[2]
    return fields


def _value(fields: Mapping[bytes, bytes], key: bytes, limit: int) -> str:
    shown = key.decode().title()
    if key not in fields:
        raise Refused(f"its metadata has no {shown}")
    try:
        value = " ".join(fields[key].decode("utf-8").split())
    except UnicodeDecodeError:
        raise Refused(f"its metadata has a {shown} that is not UTF-8") from None
    if len(value) > limit or not value.isprintable():
        raise Refused(f"its metadata has an unusable {shown}: {value[:60]!r}")
    return value
