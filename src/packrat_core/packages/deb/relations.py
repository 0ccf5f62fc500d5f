"""Finds stanzas that apt can't read: a single one in a Packages index stops `apt-get update` on every client.

apt fails on

- a field of `RELATION_FIELDS` in which `find_fault` finds a fault: `a (= )`, `a >= 1`, `a (>= 1`, `a b`, `a,, b`;
- one of them, but Provides, that ends with `|`: `apt-get update` reads it, and `apt-get install` crashes;
- a field of `NEVER_EMPTY` that is empty;
- a name, version, section or source of more than `WORD_LIMIT` bytes;
- a Description-md5 that does not have the length of an MD5;
- a stanza of more than `STANZA_LIMIT` bytes.

apt has no other rules for relations: it accepts a trailing comma, leftover substitution variables, unknown operators
and folded lines. `dpkg_fields` has those of dpkg.

    find_fault(b"libc6 (>= 2.34), a | b (~> 1),")  # None
    find_fault(b"libc6 >= 2.34")  # "'>= 2.34' stands behind a name ..."

Source: measured with apt 2.6.
"""

import re
from collections.abc import Mapping

from packrat_core.errors import Refused
from packrat_core.text import count_of

STANZA_LIMIT = 1024 * 1024
"""Bytes of a stanza with the empty line after it. apt 2.6 reads 1,048,703, whatever comes before and after it."""

WORD_LIMIT = 65_000
"""Bytes of a word. apt 2.6 aborts at 65,535, which for a name includes a colon and the architecture."""

RELATION_FIELDS = frozenset(
    b"pre-depends depends recommends suggests enhances conflicts breaks replaces provides".split()
)
"""Relation fields that apt reads, in lower case. It ignores others, such as Built-Using and Obsoletes."""

_PROVIDES = b"provides"
NEVER_EMPTY = frozenset({_PROVIDES})
"""Fields that apt 2.6 can't read empty; apt 3.0 can."""

_WORDS = frozenset(b"package version architecture section source".split())
_MD5 = b"description-md5"
_MD5_LENGTH = 32
_CHECKED = RELATION_FIELDS | _WORDS | {_MD5}
_SPACES = b" \t\n\v\f\r"
_SPACE = re.compile(rb"[ \t\n\v\f\r]*")
_NAME = re.compile(rb"[^ \t\n\v\f\r(),|<>\[\]]*")
_USUAL = re.compile(
    rb"(?:[A-Za-z0-9+.:_-]++(?: \((?:>=|<<|<=|>>|=) [^ ()]{1,100}\))?(?:, ?+| \| |\Z))++",
)
"""Matches the usual values, for speed: a value that matches has no fault; one that does not may have one."""

_ALTERNATIVE = "it ends with |, and no alternative follows"
_SHOWN_LIMIT = 60


def check_fields(fields: Mapping[bytes, bytes]) -> None:
    """Check the fields of a control file.

    Args:
        fields: lower-case field name → the field's lines, including its name.

    Raises:
        Refused: apt can't read a field; the message names it.
    """
    for name, lines in fields.items():
        if name not in _CHECKED:
            continue
        shown, _, value = lines.partition(b":")
        fault = _fault_of(name, value.strip(_SPACES))
        if fault is not None:
            raise Refused(
                f"its control file has a {shown.decode('ascii')} that stops apt on every client: {fault}",
                hint="correct it, and build the package again under a new version",
            )


def _fault_of(name: bytes, value: bytes) -> str | None:
    if name in RELATION_FIELDS and value:
        # apt does not allow groups of alternatives in Provides.
        return find_fault(value) or (_ALTERNATIVE if value.endswith(b"|") and name != _PROVIDES else None)
    if name in NEVER_EMPTY and not value:
        return "it is empty"
    if name in _WORDS and len(value) > WORD_LIMIT:
        return f"it has {len(value)} bytes, the limit is {WORD_LIMIT}"
    if name == _MD5 and len(value) not in (0, _MD5_LENGTH):
        return f"it has {count_of(len(value), 'character')}, an MD5 has {_MD5_LENGTH}"
    return None


def check_stanza_size(size: int) -> None:
    """Check the size of a stanza in Packages, in bytes, including the empty line after it.

    Raises:
        Refused: apt can't read a stanza of this size.
    """
    if size > STANZA_LIMIT:
        raise Refused(
            f"its control file makes a stanza of {size} bytes, which stops apt on every client: the limit is "
            f"{STANZA_LIMIT}",
            hint="shorten its longest fields, and build the package again under a new version",
        )


def find_fault(value: bytes) -> str | None:
    """Describe what apt can't read in the value of a relation field; None if it can read all.

    Args:
        value: the value, not empty, without surrounding white space.
    """
    if len(value) <= WORD_LIMIT and _USUAL.fullmatch(value):
        return None
    # As apt's own parser does: a name, perhaps a version in parentheses, then a separator or the end.
    at = _skip(value, 0)
    while True:
        start = at
        at = _end_of(_NAME, value, at)
        if at == start:
            return f"{_show(value, start)} stands where the name of a package should"
        if at - start > WORD_LIMIT:
            return f"it has a name of {at - start} bytes, the limit is {WORD_LIMIT}"
        at = _skip(value, at)
        if value[at : at + 1] == b"(":
            after = _after_version(value, at)
            if after is None:
                return f"{_show(value, start)} has no version between ( and )"
            if after - at > WORD_LIMIT:
                return f"it has a version of {after - at} bytes, the limit is {WORD_LIMIT}"
            at = _skip(value, after)
        if at == len(value):
            return None
        if value[at : at + 1] not in (b",", b"|"):
            return f"{_show(value, at)} stands behind a name or version, where only a comma or | can"
        at = _skip(value, at + 1)
        # A trailing separator is not a fault of the grammar.
        if at == len(value):
            return None


def _after_version(value: bytes, opening: int) -> int | None:
    """Return the offset after `(operator version)`; None if that is incomplete."""
    at = _skip(value, opening + 1)
    # apt needs four characters up to the end of the field, so it does not accept "(=1)" there.
    if at + 3 >= len(value):
        return None
    # One of < << <= > >> >= =; anything else is read as part of the version.
    if value[at : at + 1] in (b"<", b">"):
        at += 2 if value[at + 1 : at + 2] in (b"=", value[at : at + 1]) else 1
    elif value[at : at + 1] == b"=":
        at += 1
    at = _skip(value, at)
    closing = value.find(b")", at)
    return closing + 1 if closing > at else None


def _skip(value: bytes, at: int) -> int:
    return _end_of(_SPACE, value, at)


def _end_of(run: re.Pattern[bytes], value: bytes, at: int) -> int:
    """Return the offset after a run of characters, which may be empty."""
    match = run.match(value, at)
    return match.end() if match is not None else at


def _show(value: bytes, at: int) -> str:
    return repr(value[at : at + _SHOWN_LIMIT].decode("ascii", "backslashreplace"))
