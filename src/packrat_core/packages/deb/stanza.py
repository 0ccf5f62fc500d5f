"""Turns the control file of a package into its stanza in Packages.

Source: deb-control(5), deb-version(7), Debian policy 5.1.
"""

import re
from dataclasses import dataclass

from packrat_core.errors import Refused
from packrat_core.packages.deb.dpkg_fields import VERSION, check_end, check_installable
from packrat_core.packages.deb.relations import check_fields, check_stanza_size
from packrat_core.packages.facts import PackageFacts

_FIELD = re.compile(rb"([!\"$-,.-9;-~][!-9;-~]*):[ \t]*(.*)", re.DOTALL)
_USUAL_FIELD = re.compile(rb"^(([A-Za-z][A-Za-z0-9-]*+):.*+(?:\n[ \t]++[^ \t\n\v\f].*+)*+)\n", re.MULTILINE)
"""Matches a field of the usual form, for speed: all of its lines, and its name.

It is tried at the beginnings of lines alone: at each letter of a line of megabytes without a colon, that takes hours.
"""

_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9+._-]*")
_ARCHITECTURE = re.compile(rb"[a-z0-9][a-z0-9-]*")

CONTROL_FILE_LIMIT = 4 * 1024 * 1024
"""Bytes of a control file; the longest real ones, with thousands of names in Provides, have some hundred kilobytes."""

_OF_THE_INDEX = frozenset({b"filename", b"size", b"md5sum", b"sha1", b"sha256", b"sha512"})
"""Fields that the index itself adds; a package's own could contradict them."""

_INDEX_LINES = 512
"""Largest number of bytes that Packages adds to a stanza: Filename (with a path under 250 characters), Size, SHA256."""


@dataclass(frozen=True, slots=True)
class Stanza:
    """The cleaned paragraph, to which the index adds its own fields, and the facts that it states."""

    body: bytes
    facts: PackageFacts


def read_stanza(control: bytes) -> Stanza:
    """Check and clean a control file.

    `Package` moves to the front. It, `Version` and `Architecture` are written in the usual way, since not every client
    reads `PACKAGE:x`. The fields of the index go. The rest stays as it is.

    Raises:
        Refused: the file could mislead a client, having a second paragraph, a field twice, a NUL byte or no
            architecture; or apt or dpkg can't read a field.
    """
    if b"\0" in control:
        raise Refused("its control file contains a NUL byte")
    fields = split_fields(control)
    name = _value(fields, b"package", _NAME, "Package")
    version = _value(fields, b"version", VERSION, "Version")
    arch = _value(fields, b"architecture", _ARCHITECTURE, "Architecture")
    fields[b"version"] = b"Version: " + version.encode()
    fields[b"architecture"] = b"Architecture: " + arch.encode()
    kept = [lines for key, lines in fields.items() if key not in _OF_THE_INDEX and key != b"package"]
    body = b"\n".join([b"Package: " + name.encode(), *kept]) + b"\n"
    check_fields(fields)
    check_stanza_size(len(body) + _INDEX_LINES)
    check_installable(fields, arch)
    check_end(control)
    return Stanza(body, PackageFacts(name, version, arch))


def split_fields(control: bytes) -> dict[bytes, bytes]:
    """Map each field's lower-case name to its lines, in order, without the last newline.

    Raises:
        Refused: the file is too long, or is not a single paragraph in which each field occurs once.
    """
    if len(control) > CONTROL_FILE_LIMIT:
        raise Refused(f"its control file has {len(control)} bytes, the limit is {CONTROL_FILE_LIMIT}")
    text = control.strip(b"\n") + b"\n"
    return _split_usual(text) or _split_any(text)


def _split_usual(text: bytes) -> dict[bytes, bytes] | None:
    """Split fields that are all of the usual form; None where one is not."""
    if b"\r" in text:
        return None
    fields = {name.lower(): lines for lines, name in _USUAL_FIELD.findall(text)}
    # If the fields and their newlines are all of the text, nothing stands between them, and none is there twice.
    size = sum(map(len, fields.values())) + len(fields)
    return fields if size == len(text) else None


def _split_any(text: bytes) -> dict[bytes, bytes]:
    """Split fields of any form, line by line.

    Raises:
        Refused: as `split_fields`.
    """
    fields: dict[bytes, list[bytes]] = {}
    lines: list[bytes] = []
    for line in text.removesuffix(b"\n").split(b"\n"):
        if not line.strip(b" \t\r\v\f"):
            raise Refused("its control file has an empty line: a second paragraph would get into the index")
        if line[:1] in (b" ", b"\t"):
            if not lines:
                raise Refused("its control file begins with a continuation line")
            lines.append(line.rstrip(b"\r"))
            continue
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Refused(f"its control file has a line that is not a field: {line[:60]!r}")
        name = match[1].lower()
        if name in fields:
            raise Refused(f"its control file has the field {match[1][:60].decode()} twice")
        # Continuation lines are appended to the same list.
        lines = fields[name] = [line.rstrip(b"\r")]
    return {name: b"\n".join(lines) for name, lines in fields.items()}


def _value(fields: dict[bytes, bytes], key: bytes, allowed: re.Pattern[bytes], shown: str) -> str:
    if key not in fields:
        raise Refused(f"its control file has no {shown}")
    value = fields[key].partition(b":")[2].strip(b" \t\r")
    if not allowed.fullmatch(value):
        raise Refused(f"its control file has an unusable {shown}: {value[:60]!r}")
    return value.decode("ascii")
