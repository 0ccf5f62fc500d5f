"""Writes tar archives block by block, sound ones and others, and reads them with Python's tarfile."""

import io
import tarfile
from dataclasses import dataclass, field

from packrat_core.archives.tar import TarKind, TarReader
from packrat_core.archives.tar_source import FileSource

BLOCK = 512
END = bytes(2 * BLOCK)
USTAR, GNU, V7 = b"ustar\x0000", b"ustar  \0", bytes(8)

Read = tuple[str, str, int, bytes, str]
"""What a reader makes of a member: kind, name, size, bytes, target."""

_THEIRS = {
    tarfile.REGTYPE: TarKind.FILE,
    tarfile.AREGTYPE: TarKind.FILE,
    tarfile.CONTTYPE: TarKind.FILE,
    tarfile.DIRTYPE: TarKind.DIRECTORY,
    tarfile.SYMTYPE: TarKind.SYMBOLIC_LINK,
    tarfile.LNKTYPE: TarKind.HARD_LINK,
    tarfile.CHRTYPE: TarKind.CHARACTER_DEVICE,
    tarfile.BLKTYPE: TarKind.BLOCK_DEVICE,
    tarfile.FIFOTYPE: TarKind.NAMED_PIPE,
}


@dataclass
class Header:
    """A header, field by field; `patches` are bytes to put at an offset before the checksum is made."""

    name: bytes = b"t-1/file"
    kind: bytes = b"0"
    size: bytes | int = 0
    target: bytes = b""
    magic: bytes = USTAR
    prefix: bytes = b""
    patches: dict[int, bytes] = field(default_factory=dict)

    def pack(self) -> bytes:
        size = self.size if isinstance(self.size, bytes) else b"%011o\0" % self.size
        block = bytearray(BLOCK)
        block[0:100] = self.name.ljust(100, b"\0")
        block[100:148] = b"0000644\0" + b"0000000\0" * 2 + size + b"14000000000\0"
        block[156:157] = self.kind
        block[157:257] = self.target.ljust(100, b"\0")
        block[257:265] = self.magic
        block[345:500] = self.prefix.ljust(155, b"\0")
        for at, data in self.patches.items():
            block[at : at + len(data)] = data
        return seal(bytes(block))


def seal(block: bytes) -> bytes:
    """Give a header the checksum that its other bytes have."""
    total = sum(block[:148]) + sum(block[156:]) + 8 * 0x20
    return block[:148] + b"%06o\0 " % total + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def member(header: Header, data: bytes = b"") -> bytes:
    if data:
        header.size = len(data)
    return header.pack() + padded(data)


def extended(kind: bytes, data: bytes) -> bytes:
    return member(Header(b"././@LongLink", kind), data)


def record(keyword: bytes, value: bytes) -> bytes:
    """A record of a pax header; its length counts itself."""
    rest = b" " + keyword + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def pax(**values: bytes) -> bytes:
    return extended(b"x", b"".join(record(keyword.encode(), value) for keyword, value in values.items()))


def read_ours(archive: bytes) -> list[Read]:
    """Raises: Refused"""
    found = []
    reader = TarReader(FileSource(io.BytesIO(archive)))
    for member in reader:
        data = archive[member.offset : member.offset + member.size]
        assert reader.read(1 << 30) == data
        found.append((member.kind.value, member.name, member.size, data, member.target))
    return found


def read_theirs(archive: bytes) -> list[Read] | None:
    """None where tarfile can't read it; errors: names that are no UTF-8 are shown as ours."""
    found = []
    try:
        with tarfile.open(
            fileobj=io.BytesIO(archive), mode="r:", encoding="utf-8", errors="backslashreplace"
        ) as opened:
            for member in opened:
                kind = _THEIRS.get(member.type, TarKind.FILE)
                size = member.size if kind is TarKind.FILE else 0
                target = member.linkname if kind in (TarKind.SYMBOLIC_LINK, TarKind.HARD_LINK) else ""
                data = archive[member.offset_data : member.offset_data + size]
                found.append((kind.value, member.name, size, data, target))
    except (tarfile.TarError, ValueError, OSError, EOFError):
        return None
    return found
