"""Gives the files of an image archive by their names, following links; it reads, and never writes.

Source: Docker Image Specification 1.2; POSIX.1-2017 pax and ustar.
"""

from typing import BinaryIO

from packrat_core.archives.member_names import resolve_link
from packrat_core.archives.tar import TarKind, TarLimits, TarMember, TarReader, refuse_unsafe
from packrat_core.archives.tar_source import FileSource, SectionSource
from packrat_core.errors import Damaged, Refused

LIMITS = TarLimits(members=20_000, name=1024, extended=64 * 1024)
_LINKS_FOLLOWED = 8


class ImageArchive:
    """The members of one image archive."""

    def __init__(self, file: BinaryIO) -> None:
        """List the members; the file stays open as long as this object is used.

        Raises:
            Refused: the file is not a complete tar file, or a member is unsafe or occurs twice.
        """
        self._file = file
        self._members: dict[str, TarMember] = {}
        for member in TarReader(FileSource(file), LIMITS):
            refuse_unsafe(member)
            if member.kind is TarKind.DIRECTORY:
                continue
            if member.name in self._members:
                raise Refused(f"it has two members called {member.name[:120]!r}")
            self._members[member.name] = member

    def has(self, name: str) -> bool:
        """Return whether the archive has a file of that name, following links."""
        return self._follow(name) is not None

    def find(self, name: str) -> TarMember:
        """Return the file of that name, following links; several names may lead to one file.

        Raises:
            Refused: there is no such file, or its links go in a circle.
        """
        member = self._follow(name)
        if member is None:
            raise Refused(f"it has no {name[:120]}")
        return member

    def open(self, member: TarMember) -> SectionSource:
        """Open a file for reading from its beginning; several may be open at a time."""
        return SectionSource(self._file, member.offset, member.size)

    def read(self, name: str, limit: int) -> bytes:
        """Return the bytes of a small file.

        Raises:
            Refused: there is no such file, or it has more bytes than the limit.
        """
        member = self.find(name)
        if member.size > limit:
            raise Refused(f"its {name[:120]} has {member.size} bytes, the limit is {limit}")
        data = self.open(member).read(member.size)
        if len(data) != member.size:
            raise Damaged("it is damaged: a tar member is cut off")
        return data

    def _follow(self, name: str) -> TarMember | None:
        """Find a file by its name, following links inside the archive; None if there is none."""
        path = name
        for _ in range(_LINKS_FOLLOWED):
            member = self._members.get(path)
            if member is None or member.is_file:
                return member
            path = resolve_link(member.name, member.target, symbolic=member.kind is TarKind.SYMBOLIC_LINK)
        raise Refused(f"its links go in a circle, or on and on, at {name[:120]!r}")
