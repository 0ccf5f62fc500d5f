"""Says which names and link targets are safe to unpack, whatever kind of archive they stand in.

Takes: names and targets as they stand in an archive.
Gives: the same, relative to the top of the archive; Refused where a client would write or read outside of it.
Touches: nothing.

Backslashes and drive letters count too: clients on Windows unpack the same archives.
"""

import posixpath

from packrat_core.errors import Refused


def check_name(name: str) -> None:
    """Raises: Refused where a member would be written outside the directory that the archive is unpacked into."""
    # Nearly all names pass here; an archive may have 200,000 of them.
    if name and ".." not in name and name[0] != "/" and not ("\\" in name or ":" in name or "\0" in name):
        return
    if "\0" in name or not name:
        raise Refused(f"it holds a member with an impossible name: {name[:80]!r}")
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or parts[0].endswith(":") or name[1:2] == ":":
        raise Refused(f"it holds a member with an absolute name: {name[:80]!r}")
    if ".." in parts:
        raise Refused(f"it holds a member that leads out of its directory: {name[:80]!r}")


def normalize_name(name: str) -> str:
    """Check a name and drop its `.`, double and trailing slashes; the top directory itself is `.`.

    Raises: Refused where `check_name` does.
    """
    check_name(name)
    if "//" in name or "./" in name or name[-1] in "/.":
        return posixpath.normpath(name)
    return name


def resolve_link(name: str, target: str, *, symbolic: bool) -> str:
    """Find where a link leads to, by its text alone.

    Args:
        name: the normalized name of the link.
        target: what it points to.
        symbolic: whether the target is relative to the directory of the link; else it is relative to the top.

    Returns:
        The path relative to the top of the archive, '' for the top itself.

    Raises:
        Refused: the target is outside the archive.
    """
    if target.startswith(("/", "\\")) or target[1:2] == ":" or "\0" in target:
        raise Refused(f"its member {name[:80]!r} is a link with an absolute target: {target[:80]!r}")
    directory = posixpath.dirname(name) if symbolic else ""
    if "\\" in target:
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
