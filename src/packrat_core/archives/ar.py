"""Lists the members of a .deb, which is an ar archive, by reading its headers and seeking over the content.

Source: ar(5), deb(5).
"""

import os
from dataclasses import dataclass
from typing import BinaryIO

from packrat_core.errors import Damaged, Refused

_MAGIC = b"!<arch>\n"
_HEADER = 60
_HEADER_END = b"`\n"
_MEMBERS_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class ArMember:
    """One member; its content has `size` bytes and begins at offset `start` of the file."""

    name: str
    start: int
    size: int


def list_members(file: BinaryIO) -> list[ArMember]:
    """List all members and check that the last one ends at the end of the file.

    Raises:
        Refused: The file is not an ar archive, is truncated, or has bytes that belong to no member.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(_MAGIC)) != _MAGIC:
        raise Refused("it is not a .deb: the ar signature is missing")
    members: list[ArMember] = []
    at = len(_MAGIC)
    # An empty archive enters the loop too, so that the missing header is reported.
    while at < end or not members:
        if len(members) == _MEMBERS_LIMIT:
            raise Refused(f"it has more than {_MEMBERS_LIMIT} members")
        file.seek(at)
        member = _read_header(file.read(_HEADER), at, members)
        # Members start at even offsets; one byte of padding follows content of odd length.
        at = member.start + member.size + member.size % 2
        if at > end:
            reason = f"it is damaged: the file ends inside its member {member.name!r}"
            raise Damaged(reason, hint="upload it again, whole")
        members.append(member)
    return members


def _read_header(header: bytes, at: int, before: list[ArMember]) -> ArMember:
    if len(header) != _HEADER or header[58:] != _HEADER_END:
        where = f"behind its member {before[-1].name!r}" if before else "at its beginning"
        raise Damaged(f"it is damaged: an ar member header is missing or broken {where}, at byte {at}")
    digits = header[48:58].rstrip(b" ")
    if not digits.isdigit():
        raise Damaged(f"it is damaged: the size of the ar member at byte {at} is not a number")
    name = header[:16].rstrip(b" ").removesuffix(b"/")
    return ArMember(name.decode("ascii", "backslashreplace"), at + _HEADER, int(digits))
