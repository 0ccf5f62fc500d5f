"""Reads a tar archive once, sequentially, in bounded memory: lists its members, and gives the bytes of the current one.

The reader accepts all dialects: v7, ustar, GNU's long names ('L', 'K') and base-256 numbers, pax headers ('x', 'g').
It refuses sparse files, parts of multi-volume archives, and whatever Python's tarfile, GNU tar and Go's archive/tar
read differently: two extended headers that define the same field, links and directories with a size, and files whose
names end with a slash.

    for member in TarReader(FileSource(file)):
        refuse_unsafe(member)

Source: POSIX.1-2017 pax and ustar; GNU tar manual, "Basic Tar Format".
"""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from packrat_core.archives.limits import MEMBERS_LIMIT, NAME_LIMIT, DirectoryNames, check_count
from packrat_core.archives.member_names import FILE_NAME_BYTES, longest_part, normalize_name, resolve_link
from packrat_core.archives.tar_header import BLOCK, TarHeader, parse_header, parse_pax, parse_pax_size
from packrat_core.archives.tar_source import Source
from packrat_core.errors import Damaged, Refused

_CHUNK_BYTES = 256 * 1024
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_TARGET = b"x", b"g", b"L", b"K"
_EXTENDED = frozenset({_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_TARGET})
_V7_FILE = b"\0"


class TarKind(Enum):
    """The kinds of members."""

    FILE = "a file"
    DIRECTORY = "a directory"
    SYMBOLIC_LINK = "a symbolic link"
    HARD_LINK = "a hard link"
    CHARACTER_DEVICE = "a character device"
    BLOCK_DEVICE = "a block device"
    NAMED_PIPE = "a named pipe"


_KINDS = {
    b"0": TarKind.FILE,
    _V7_FILE: TarKind.FILE,
    b"7": TarKind.FILE,
    b"1": TarKind.HARD_LINK,
    b"2": TarKind.SYMBOLIC_LINK,
    b"3": TarKind.CHARACTER_DEVICE,
    b"4": TarKind.BLOCK_DEVICE,
    b"5": TarKind.DIRECTORY,
    b"6": TarKind.NAMED_PIPE,
}
_LINKS = frozenset({TarKind.SYMBOLIC_LINK, TarKind.HARD_LINK})
_DEVICES = frozenset({TarKind.CHARACTER_DEVICE, TarKind.BLOCK_DEVICE, TarKind.NAMED_PIPE})


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member.

    Attributes:
        name: Relative, without `.` and `..`.
        kind: The kind of member.
        size: Number of bytes of a file; 0 for all other kinds.
        offset: Where these bytes begin in the uncompressed archive.
        target: Target of a link, as written; '' for all other kinds.
        short_name: The name in the plain header if an extended header gives another one, else ''.
    """

    name: str
    kind: TarKind
    size: int
    offset: int
    target: str
    short_name: str = field(default="", compare=False)

    @property
    def is_file(self) -> bool:
        """True for a regular file, False for directories, links and devices."""
        return self.kind is TarKind.FILE


@dataclass(frozen=True, slots=True)
class TarLimits:
    """Maximum number of members, characters of a name or target, and bytes of an extended header."""

    members: int = MEMBERS_LIMIT
    name: int = NAME_LIMIT
    extended: int = 1024 * 1024


class TarReader:
    """The members of a tar archive, in order."""

    def __init__(
        self,
        source: Source,
        limits: TarLimits | None = None,
        *,
        may_be_empty: bool = False,
        unreadable: Mapping[bytes, str] | None = None,
    ) -> None:
        """Read from the beginning of an archive.

        Args:
            source: The archive.
            limits: What it may have at most.
            may_be_empty: Take an archive without members.
            unreadable: Kinds of headers that a client of this archive can't read, each with the reason to refuse it.
        """
        self._source = source
        self._may_be_empty = may_be_empty
        self._unreadable = unreadable or {}
        self._limits = limits or TarLimits()
        self._extended: dict[bytes, bytes] = {}
        self._offset = 0
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[TarMember]:
        """Yield all members, then check the rest of the source.

        Raises:
            Refused: The archive is truncated, ambiguous, beyond its limits, or followed by anything but zeros.
        """
        count = 0
        while (header := self._next_header()) is not None:
            if header.kind in self._unreadable:
                raise Refused(self._unreadable[header.kind])
            is_extended = header.kind in _EXTENDED
            if is_extended:
                self._extend(header)
            # Other extended headers need not count: each kind occurs at most once before a member.
            if header.kind == _PAX_GLOBAL or not is_extended:
                count += 1
                check_count(count, self._limits.members)
            if not is_extended:
                member = self._member(header)
                self._extended = {}
                self._begin(member.size)
                yield member
        if not count and not self._may_be_empty:
            raise Refused("it is not a tar file, or an empty one")
        self._finish()

    def read(self, limit: int) -> bytes:
        """Return the rest of the current member.

        Raises:
            Refused: It is more than `limit` bytes, or the archive is truncated.
        """
        if self._left > limit:
            raise Refused(f"it has a member of {self._left} bytes, the limit is {limit}")
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the rest of the current member in chunks.

        Raises:
            Refused: The archive is truncated.
        """
        while self._left:
            yield self._take(min(self._left, _CHUNK_BYTES))

    def _begin(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK

    def _take(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) != size:
            raise Damaged("it is damaged: the tar archive ends inside a member")
        self._offset += size
        self._left -= size
        return data

    def _next_header(self) -> TarHeader | None:
        """Return the next header; None at the end mark."""
        # The caller may have read only a part of the last member, or nothing of it.
        skipped = self._left + self._padding
        self._source.skip(skipped)
        self._offset += skipped
        block = self._source.read(BLOCK)
        if len(block) != BLOCK:
            raise Damaged("it is not a tar file, or damaged: it has no end mark")
        self._offset += BLOCK
        self._begin(0)
        if block.count(0) == BLOCK:
            if self._extended:
                raise Damaged("it is damaged: an extended tar header describes no member")
            return None
        return parse_header(block)

    def _finish(self) -> None:
        while rest := self._source.read(_CHUNK_BYTES):
            if rest.strip(b"\0"):
                raise Refused("it has bytes after the end of the tar archive")

    def _extend(self, header: TarHeader) -> None:
        """Remember the fields that an extended header defines for the next member.

        Raises:
            Refused: The header is too large, broken, or read differently by different clients.
        """
        if header.size > self._limits.extended:
            raise Refused(f"it has an extended tar header of {header.size} bytes, the limit is {self._limits.extended}")
        # Global headers may follow each other, but Go discards other extended headers before a global one.
        before = self._extended.keys() - {_PAX_GLOBAL}
        if header.kind in before or (header.kind == _PAX_GLOBAL and before):
            raise Refused("it has two extended tar headers where clients differ on which one counts")
        self._begin(header.size)
        data = self._take(header.size)
        # tarfile reads records from the padding, too.
        if self._take_padding().strip(b"\0"):
            raise Refused("it has an extended tar header with bytes after its end")
        if header.kind in (_GNU_NAME, _GNU_TARGET):
            records = {b"path" if header.kind == _GNU_NAME else b"linkpath": data.rstrip(b"\0")}
        else:
            records = parse_pax(data)
        if header.kind == _PAX_GLOBAL and records:
            raise Refused("it has a global tar header that names files")
        if any(b"\0" in value for value in records.values()):
            raise Refused("it has an extended tar header with a name that clients would cut off")
        if records.keys() & self._extended.keys():
            raise Refused("it has two extended tar headers that name the same member")
        self._extended |= records | {header.kind: b""}

    def _take_padding(self) -> bytes:
        size, self._padding = self._padding, 0
        self._left = size
        return self._take(size)

    def _member(self, header: TarHeader) -> TarMember:
        kind = _KINDS.get(header.kind)
        raw_name = self._extended.get(b"path", header.name)
        name = normalize_name(_text(raw_name))
        if kind is None:
            raise Refused(f"its member {name[:80]!r} is of the unknown kind {header.kind!r}")
        if len(name) > self._limits.name:
            raise Refused(f"it has a member with a name of {len(name)} characters, the limit is {self._limits.name}")
        # Only a plain file can be a directory by its name.
        if kind is TarKind.FILE:
            kind = _file_or_directory(header, raw_name)
        size = parse_pax_size(self._extended[b"size"]) if b"size" in self._extended else header.size
        if kind is not TarKind.FILE and size:
            # tarfile and Go expect the next header right after this one, GNU tar after the bytes.
            raise Refused(f"its member {name[:80]!r} is {kind.value}, and has {size} bytes")
        if kind is not TarKind.DIRECTORY and name == ".":
            raise Refused("it holds a member with an impossible name: '.'")
        # Only links have a target: other members may carry one that clients ignore.
        is_link = kind in _LINKS
        target = _text(self._extended.get(b"linkpath", header.target)) if is_link else ""
        if len(target) > self._limits.name:
            raise Refused(f"it has a link with a target of {len(target)} characters, the limit is {self._limits.name}")
        short_name = _text(header.name) if b"path" in self._extended else ""
        return TarMember(name, kind, size, self._offset, target, short_name)


def refuse_unsafe(member: TarMember) -> None:
    """Check a member that clients will unpack.

    Raises:
        Refused: It is a device, or a link that leads out of the archive.
    """
    if member.kind in _DEVICES:
        raise Refused(f"its member {member.name[:80]!r} is {member.kind.value}")
    if member.target:
        resolve_link(member.name, member.target, symbolic=member.kind is TarKind.SYMBOLIC_LINK)


class UnpackedNames:
    """The names that an archive makes when it is unpacked: none of its members may lead through one of its links.

    By its text alone a link stays inside; where another link stands on its way, it may lead anywhere.
    """

    def __init__(self) -> None:
        self._links: set[str] = set()
        # All paths above one that is in here are in here, too, and never one that is in _links.
        self._ways: set[str] = set()
        self._names = DirectoryNames()
        # Only the hashes of names, since a name may be long.
        self._files: set[int] = set()
        self._directories: set[int] = set()

    def add(self, member: TarMember) -> None:
        """Check the next member.

        Raises:
            Refused: It is a device, leads out of the archive or through a symbolic link, is a hard link to a file
                that the archive does not have before it, stands below a file or in the place of a directory, or has a
                name that no file system creates.
        """
        refuse_unsafe(member)
        if len(member.name) > FILE_NAME_BYTES // 4 and longest_part(member.name) > FILE_NAME_BYTES:
            raise Refused(f"its member {member.name[:80]!r} has a name of more than {FILE_NAME_BYTES} bytes")
        self._pass(member, posixpath.dirname(member.name))
        self._enter(member)
        is_symbolic = member.kind is TarKind.SYMBOLIC_LINK
        if member.target:
            # `link/..` is not where the link stands.
            self._pass_back(member, posixpath.dirname(member.name) if is_symbolic else "")
        if member.kind is TarKind.HARD_LINK:
            # For a symbolic link, it would be the same link in another place.
            target = resolve_link(member.name, member.target, symbolic=False)
            self._pass(member, target)
            if hash(target) not in self._files:
                raise Refused(f"its hard link {member.name[:80]!r} names a file that is not before it in the archive")
        if member.kind in (TarKind.FILE, TarKind.HARD_LINK):
            self._files.add(hash(member.name))
        if is_symbolic:
            if member.name in self._ways:
                raise Refused(f"its link {member.name[:80]!r} has the place of a directory above other members")
            self._links.add(member.name)

    def _enter(self, member: TarMember) -> None:
        """Note the directories that a member stands in; none of them may be a file, and it may be none of them."""
        directory = posixpath.dirname(member.name)
        while directory and hash(directory) not in self._directories:
            if hash(directory) in self._files:
                raise Refused(f"its file {directory[:80]!r} has the place of a directory above {member.name[:80]!r}")
            self._directories.add(hash(directory))
            directory = posixpath.dirname(directory)
        if member.kind is TarKind.DIRECTORY:
            self._directories.add(hash(member.name))
        elif hash(member.name) in self._directories:
            raise Refused(f"its member {member.name[:80]!r} has the place of a directory")

    def _pass(self, member: TarMember, way: str) -> None:
        """Note that a member leads through a path, and all those above it that are not noted yet."""
        while way and way not in self._ways:
            self._names.count(way)
            if way in self._links:
                raise Refused(f"its member {member.name[:80]!r} leads through its link {way[:80]!r}")
            self._ways.add(way)
            way = way.rpartition("/")[0]

    def _pass_back(self, member: TarMember, base: str) -> None:
        """Note the directories that a target goes through and back out of."""
        parts = [part for part in member.target.replace("\\", "/").split("/") if part not in ("", ".")]
        while parts and parts[-1] != "..":
            parts.pop()
        path = base
        for part in parts:
            path = path.rpartition("/")[0] if part == ".." else f"{path}/{part}".lstrip("/")
            # It is counted also if it is known: each link may go through thousands.
            self._names.count(path)
            self._pass(member, path)


def _file_or_directory(header: TarHeader, name: bytes) -> TarKind:
    """Tell a directory from a file by a trailing slash: v7 archives mark directories in no other way."""
    is_directory = name.endswith(b"/")
    # tarfile looks at the name field, Go at the whole name, GNU tar even if the header says that it is a file.
    if is_directory != (header.kind == _V7_FILE and header.name_field.endswith(b"/")):
        raise Refused(f"its member {_text(name)[:80]!r} is a file to some clients, a directory to others")
    return TarKind.DIRECTORY if is_directory else TarKind.FILE


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
