"""Finds control files that dpkg can't read: apt offers such a package, and each installation of it ends with an error.

dpkg-deb builds no such package, but other tools do. dpkg fails on

- relations as in `a,`, `${misc:Depends}`, `a (~> 1)`, `a (>= v1)`, `a (>= 1) [amd64]`, and alternatives where there can
  be none;
- another Essential than yes or no, another Multi-Arch than those it knows, `same` for the architecture `all`;
- any of these whose value begins in the line after the name;
- a Conffiles with a line that is not a path and a digest, an empty Filename, MSDOS-Filename, Size or MD5sum;
- fields that only its own database has, such as Status;
- a control file without a newline at its end, or with a last field that is empty and has no empty line behind it.

dpkg appends Revision to the version: with a space in it, dpkg can't read its database once the package is installed.

Where releases of dpkg differ, the field is taken.

    check_end(control)
    check_installable(fields, "all")

Source: dpkg's lib/dpkg/fields.c, parse.c and parsehelp.c; measured with dpkg 1.21 and 1.22.
"""

import re
from collections.abc import Mapping

from packrat_core.errors import Refused
from packrat_core.packages.deb.relations import RELATION_FIELDS

_SPACES = b" \t\n\v\f\r"
_WITHOUT_ALTERNATIVES = frozenset({b"conflicts", b"breaks", b"replaces", b"provides"})
_WORDS: Mapping[bytes, tuple[bytes, ...]] = {
    b"essential": (b"yes", b"no"),
    b"multi-arch": (b"foreign", b"allowed", b"same", b"no"),
}
_OF_ITS_DATABASE = frozenset({b"status", b"config-version", b"triggers-pending", b"triggers-awaited"})
_NEVER_EMPTY = frozenset({b"filename", b"msdos-filename", b"size", b"md5sum"})
_CONFFILES = b"conffiles"
_REVISION = b"revision"
_PRESENT_NAMES: Mapping[bytes, bytes] = {
    b"recommended": b"recommends",
    b"optional": b"suggests",
    b"package-revision": _REVISION,
    b"package_revision": _REVISION,
}
"""Obsolete name of a field → the name under which dpkg reads it. Source: the nicknames in dpkg's lib/dpkg/parse.c."""
_CHECKED = (
    RELATION_FIELDS | _WORDS.keys() | _OF_ITS_DATABASE | _NEVER_EMPTY | _PRESENT_NAMES.keys() | {_CONFFILES, _REVISION}
)
VERSION = re.compile(
    # Only behind an epoch may the rest have a colon, and the revision begins at the last dash.
    rb"[0-9]{1,9}:[0-9](?:[A-Za-z0-9.+:~]*|[A-Za-z0-9.+:~-]*-[A-Za-z0-9.+~]+)"
    rb"|[0-9](?:[A-Za-z0-9.+~]*|[A-Za-z0-9.+~-]*-[A-Za-z0-9.+~]+)"
)
"""Matches what dpkg takes for a version, of a package or in a relation: it installs no package with another.

Epochs of ten digits are refused beyond that: dpkg takes a few of them.
"""
_RELATION = re.compile(
    # A name with or without an architecture, then perhaps an operator and a version. Nothing is tried twice, since a
    # value may have a million blanks.
    rb"[A-Za-z0-9][A-Za-z0-9+._-]*+(?::[A-Za-z0-9][A-Za-z0-9-]*+)?+[ \t\n\v\f\r]*+"
    rb"(?:\([ \t\n\v\f\r]*+(?:<[<=]?|>[>=]?|=)?+[ \t\n\v\f\r]*+"
    rb"(?:" + VERSION.pattern + rb")[ \t\n\v\f\r]*+\)[ \t\n\v\f\r]*+)?+"
)
_BLANKS = re.compile(rb"[ \t\n\v\f\r]*+")
_CONFFILE = re.compile(rb" .{2,} [^ ]*")
_EMPTY_AT_END = re.compile(rb"[^\n:]*:[ \t\v\f\r]*+\n")
_SHOWN_LIMIT = 60


def check_end(control: bytes) -> None:
    """Check the end of a control file.

    Raises:
        Refused: dpkg can't read its last field.
    """
    if not control.endswith(b"\n"):
        fault = "does not end with a newline"
    elif _EMPTY_AT_END.fullmatch(control, control.rfind(b"\n", 0, -1) + 1):
        fault = "ends with a field that is empty"
    else:
        return
    raise Refused(
        f"its control file {fault}, so that no dpkg installs the package",
        hint="correct it, and build the package again under a new version",
    )


def check_installable(fields: Mapping[bytes, bytes], architecture: str) -> None:
    """Check the fields that dpkg reads.

    Args:
        fields: lower-case field name → the field's lines, including its name.
        architecture: that of the package.

    Raises:
        Refused: dpkg can't read one of them, or takes it for a part of the version; the message names it.
    """
    for name, lines in fields.items():
        if name not in _CHECKED:
            continue
        shown, _, value = lines.partition(b":")
        present = _PRESENT_NAMES.get(name, name)
        if present == _REVISION and value.strip(_SPACES):
            raise Refused(
                f"its control file has a {shown.decode('ascii')}, which dpkg appends to the version: it installs "
                "another one than apt offers, and its database can be unreadable afterwards",
                hint="make it the end of the version, behind a dash, and build the package again",
            )
        fault = _fault_of(present, value, architecture)
        if fault is not None:
            raise Refused(
                f"its control file has a {shown.decode('ascii')} with which no dpkg installs the package: {fault}",
                hint="correct it, and build the package again under a new version",
            )


def _fault_of(name: bytes, untrimmed: bytes, architecture: str) -> str | None:
    value = untrimmed.strip(_SPACES)
    if name in _OF_ITS_DATABASE:
        return "only the database of dpkg has this field"
    if not value:
        return "it is empty" if name in _NEVER_EMPTY else None
    if name == _CONFFILES:
        return _find_conffiles_fault(untrimmed.rstrip(_SPACES))
    if name in RELATION_FIELDS:
        fault = find_relation_fault(value, may_have_alternatives=name not in _WITHOUT_ALTERNATIVES)
    elif name in _WORDS:
        fault = _find_word_fault(name, value.lower(), architecture)
    else:
        return None
    if fault is None and untrimmed.lstrip(b" \t").startswith(b"\n"):
        return "its value begins only in the line after its name"
    return fault


def _find_word_fault(name: bytes, value: bytes, architecture: str) -> str | None:
    known = _WORDS[name]
    if value not in known:
        return f"it is {_show(value, 0)}, and can only be {', '.join(word.decode() for word in known)}"
    if name == b"multi-arch" and architecture == "all" and value == b"same":
        return "a package of the architecture all can't be the same for several"
    return None


def _find_conffiles_fault(value: bytes) -> str | None:
    first, *lines = value.split(b"\n")
    if first.strip(_SPACES):
        return "its value begins in the line of its name"
    for line in lines:
        if not _CONFFILE.fullmatch(line.removesuffix(b" obsolete")):
            return f"{_show(line, 0)} is not a space, a path and its digest"
    return None


def find_relation_fault(value: bytes, *, may_have_alternatives: bool) -> str | None:
    """Describe what dpkg can't read in the value of a relation field; None if it can read all.

    Args:
        value: the value, not empty, without surrounding white space.
        may_have_alternatives: whether this field may have them.
    """
    at = 0
    while True:
        match = _RELATION.match(value, at)
        if match is None:
            return f"{_show(value, at)} is not the name of a package" if at < len(value) else "it ends with a separator"
        separator = value[match.end() : match.end() + 1]
        if not separator:
            return None
        if separator not in (b",", b"|"):
            if separator == b"(":
                return f"{_show(value, match.end())} is not an operator and a version that dpkg takes"
            return f"{_show(value, match.end())} can't stand behind a name or version"
        if separator == b"|" and not may_have_alternatives:
            return "it has alternatives, which this field can't have"
        blanks = _BLANKS.match(value, match.end() + 1)
        at = blanks.end() if blanks is not None else len(value)


def _show(value: bytes, at: int) -> str:
    return repr(value[at : at + _SHOWN_LIMIT].decode("ascii", "backslashreplace"))
