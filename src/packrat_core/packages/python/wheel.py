"""Checks the frame of a wheel: pip stops at a frame that it doesn't know, even where an older version would do.

1. A wheel has one directory called `.dist-info` at its top, with WHEEL and RECORD in it.
2. Its WHEEL is in UTF-8, and of Wheel-Version 1 or 1.x, or of an earlier one.
3. Its RECORD is a table of CSV in UTF-8, without an empty line. What it says of the files is not compared with them:
   neither pip nor uv does that.
4. Its entry_points.txt, if there is one, can be read (`entry_points.py`).
5. A `.data` directory at its top has files in known directories only, such as `scripts`.
6. Metadata of another project that it puts beside all installed ones has a version (`placed_metadata.py`).

    read_wheel_file(archive, "tool-1.0.dist-info")

uv is the judge of the last one alone: some of what ends it, pip takes, such as a RECORD with a fourth column.

Source: Binary distribution format (PEP 427); pip 23.0 and 26.
"""

import codecs
import csv
import posixpath
import re
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser

from packrat_core.archives.zip_archive import ZipArchive
from packrat_core.archives.zip_directory import ZipMember
from packrat_core.errors import Refused
from packrat_core.packages.python.entry_points import check_entry_points
from packrat_core.packages.python.placed_metadata import check_placed_metadata

_WHEEL_FILE_LIMIT = 64 * 1024
_USUAL = re.compile(r"Wheel-Version: 1(\.[0-9]{1,9})*\n(?![ \t])")
"""How the file of nearly every wheel begins; the parser finds the same version in it, in twenty times as long."""
_ENTRY_POINTS_LIMIT = 1024 * 1024
_RECORD_LIMIT = 64 * 1024 * 1024
"""Bytes of RECORD: three lines of a hundred bytes for each of the members that an archive may have."""
_USUAL_RECORD_BYTES = 64 * 1024
_USUAL_RECORD = re.compile(rb"(?:[ !#-~]+\r?\n)*[ !#-~]*")
_ROW_LIMIT = 1024 * 1024
"""Characters of a row in RECORD; pip reads 131,072 of a field."""
_KNOWN_MAJOR_VERSION = 1
_DATA_DIRECTORIES = frozenset({"data", "headers", "platlib", "purelib", "scripts"})
_SHOWN_LIMIT = 60
_ADVICE = "pip and uv refuse it; rebuild it"
_ADVICE_PIP = "pip refuses it; rebuild it"


def read_wheel_file(archive: ZipArchive, info: str) -> str:
    """Check the frame of a wheel; return the text of its WHEEL file.

    Args:
        archive: the wheel.
        info: its .dist-info directory, which has its METADATA.

    Raises:
        Refused: the wheel has another such directory, or clients end at its frame.
    """
    found = _find_frame(archive.members, info)
    check_placed_metadata(archive, info)
    for name in ("WHEEL", "RECORD"):
        if name not in found:
            raise Refused(f"its {info[:_SHOWN_LIMIT]} has no {name}", hint=_ADVICE)
    try:
        text = archive.read(found["WHEEL"], _WHEEL_FILE_LIMIT).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("its WHEEL is not UTF-8", hint=_ADVICE) from None
    _check_version(text)
    _check_record(archive, found["RECORD"])
    if "entry_points.txt" in found:
        check_entry_points(archive.read(found["entry_points.txt"], _ENTRY_POINTS_LIMIT))
    return text


def _find_frame(members: Iterable[ZipMember], info: str) -> dict[str, ZipMember]:
    """Return what is in the .dist-info directory of a wheel, by the names there.

    Raises:
        Refused: the wheel has another such directory, or a .data directory with files that have no place.
    """
    found = {}
    for member in members:
        top, _, rest = member.name.partition("/")
        if top == info:
            found[rest] = member
        elif top.endswith(".dist-info"):
            raise Refused(f"it has a second .dist-info directory, {top[:_SHOWN_LIMIT]!r}", hint=_ADVICE)
        elif top.endswith(".data") and not member.name.endswith("/"):
            parts = posixpath.normpath(member.name).split("/", 2)
            if len(parts) < 3 or parts[1] not in _DATA_DIRECTORIES:
                raise Refused(
                    f"it has a file {member.name[:_SHOWN_LIMIT]!r}, but a .data directory has only "
                    f"{', '.join(sorted(_DATA_DIRECTORIES))}",
                    hint=_ADVICE_PIP,
                )
    return found


def _check_version(text: str) -> None:
    if _USUAL.match(text):
        return
    version = HeaderParser().parsestr(text).get("Wheel-Version")
    if version is None:
        raise Refused("its WHEEL has no Wheel-Version", hint=_ADVICE)
    try:
        # As pip does, so that the same spellings count.
        numbers = [int(part) for part in str(version).split(".")]
        known = numbers[0] <= _KNOWN_MAJOR_VERSION
    except ValueError:
        known = False
    if not known:
        shown = str(version)[:_SHOWN_LIMIT]
        raise Refused(f"its WHEEL has the Wheel-Version {shown!r}, where clients know 1.0", hint=_ADVICE)


def _check_record(archive: ZipArchive, member: ZipMember) -> None:
    # Most are small and have no quotes: the lines of such a table are its rows, whatever is in them.
    if (
        member.unpacked <= _USUAL_RECORD_BYTES
        and member.packed <= _USUAL_RECORD_BYTES
        and _USUAL_RECORD.fullmatch(archive.read(member, _USUAL_RECORD_BYTES))
    ):
        return
    if member.unpacked > _RECORD_LIMIT:
        raise Refused(f"its RECORD has {member.unpacked} bytes, the limit is {_RECORD_LIMIT}")
    lines = _Lines(archive.chunks(member))
    try:
        for row in csv.reader(lines):
            lines.pending = 0
            if not row:
                raise Refused("its RECORD has an empty line", hint=_ADVICE_PIP)
    except UnicodeDecodeError:
        raise Refused("its RECORD is not UTF-8", hint=_ADVICE) from None
    except csv.Error as error:
        raise Refused(f"its RECORD is not a table of CSV: {error}", hint=_ADVICE_PIP) from None


class _Lines:
    """The lines of a text that comes in chunks; a row of CSV may have several, which are held in memory together."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.pending = 0

    def __iter__(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        rest = ""
        for chunk in self._chunks:
            # The last line may go on in the next chunk, where even "\r" may be followed by "\n".
            *lines, rest = (rest + decoder.decode(chunk)).splitlines(keepends=True) or [""]
            yield from map(self._count, lines)
            self._check(len(rest))
        rest += decoder.decode(b"", final=True)
        if rest:
            yield self._count(rest)

    def _count(self, line: str) -> str:
        self.pending += len(line)
        self._check(self.pending)
        return "".join(line.splitlines())

    @staticmethod
    def _check(length: int) -> None:
        if length > _ROW_LIMIT:
            raise Refused(f"its RECORD has a row of more than {_ROW_LIMIT} characters")
