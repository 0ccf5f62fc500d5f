"""Checks that member names and link targets of an archive are safe to unpack, for all kinds of archives.

A name or target is refused if it would make a client write or read outside the directory it unpacks into. Backslashes
and drive letters count too, since clients on Windows unpack the same archives.
"""

import posixpath
import re
import unicodedata

from packrat_core.archives.limits import NAME_LIMIT, DirectoryNames
from packrat_core.errors import Refused

FILE_NAME_BYTES = 255
"""The longest name that Linux, macOS and Windows create."""

_ESCAPED = re.compile(r"\\x[0-9a-f]{2}")


def check_name(name: str) -> None:
    """Check that a member is written inside the directory that the archive is unpacked into.

    Raises:
        Refused: The name is empty, absolute, contains NUL or leads out of the directory.
    """
    # Fast path for nearly all names; an archive may have 200,000 of them.
    if name and ".." not in name and name[0] != "/" and not ("\\" in name or ":" in name or "\0" in name):
        return
    if "\0" in name or not name:
        raise Refused(f"it holds a member with an impossible name: {name[:80]!r}")
    # On Windows a backslash separates, and `C:` at the front leaves the directory.
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or parts[0].endswith(":") or name[1:2] == ":":
        raise Refused(f"it holds a member with an absolute name: {name[:80]!r}")
    if ".." in parts:
        raise Refused(f"it holds a member that leads out of its directory: {name[:80]!r}")


def normalize_name(name: str) -> str:
    """Check a name and remove `.` components and double and trailing slashes; the top directory itself is `.`.

    Raises:
        Refused: `check_name` refuses the name.
    """
    check_name(name)
    if "//" in name or "./" in name or name[-1] in "/.":
        return posixpath.normpath(name)
    return name


def longest_part(name: str) -> int:
    """Return the bytes of the longest part of a name; each byte that is not UTF-8 stands there as four characters."""
    return max(len(part.encode()) for part in _ESCAPED.sub("?", name).split("/"))


class MetadataNames:
    """Names of members that clients read by name; on some file systems, two of them may be one file."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        """Look at names that match, spelled in any way."""
        self._pattern = re.compile(pattern.pattern, re.IGNORECASE)
        self._seen: dict[str, str] = {}
        self._names = DirectoryNames()

    def add(self, name: str) -> None:
        """Check the next name.

        Raises:
            Refused: An earlier one differs only in case, in Unicode's normal form, or in `.` and `/`.
        """
        # Fast path: an archive may have 200,000 names, and only those in its metadata count.
        folded = name if name.isascii() else unicodedata.normalize("NFKC", name)
        if not self._pattern.fullmatch(folded.rstrip("/")):
            return
        # Directories count too: two that differ in case are one.
        key, way = posixpath.normpath(folded).casefold(), posixpath.normpath(name)
        if max(len(key), len(way)) > NAME_LIMIT:
            raise Refused(f"it has a member with a name of {len(way)} characters, the limit is {NAME_LIMIT}")
        while key:
            before = self._seen.get(key)
            if before == way:
                # All names above one that was looked at were looked at, too.
                return
            if before is not None:
                raise Refused(f"its members {before[:80]!r} and {way[:80]!r} are one file where case doesn't count")
            self._names.count(key)
            self._names.count(way)
            self._seen[key] = way
            # The name as spelled may have fewer slashes: Unicode's normal form makes one of some characters.
            key, way = key.rpartition("/")[0], way.rpartition("/")[0] or way


def resolve_link(name: str, target: str, *, symbolic: bool) -> str:
    """Resolve the target of a link by its text alone.

    Args:
        name: Normalized name of the link.
        target: Target of the link.
        symbolic: True if the target is relative to the directory of the link, False if to the top of the archive.

    Returns:
        The path relative to the top of the archive; '' for the top itself.

    Raises:
        Refused: The target is absolute or outside the archive.
    """
    if target.startswith(("/", "\\")) or target[1:2] == ":" or "\0" in target:
        raise Refused(f"its member {name[:80]!r} is a link with an absolute target: {target[:80]!r}")
    directory = posixpath.dirname(name) if symbolic else ""
    if "\\" in target:
        # Windows takes backslashes for separators, so the target must be safe in both readings.
        _resolve(name, directory, target.replace("\\", "/"))
    return _resolve(name, directory, target)


def _resolve(name: str, directory: str, target: str) -> str:
    parts = directory.split("/") if directory else []
    for part in target.split("/"):
        if part == "..":
            if not parts:
                raise Refused(f"its member {name[:80]!r} is a link that leads out of the archive: {target[:80]!r}")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
