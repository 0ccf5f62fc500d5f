"""Writes zip archives of all dialects, and reads them with Python's zipfile."""

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from packrat_core.archives.zip_archive import ZipArchive

Read = tuple[bytes, int, bytes]
"""What a reader makes of a member: name, checksum, bytes."""


class Pipe(io.RawIOBase):
    """A file that can't be sought in, so that sizes follow the members."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


@dataclass
class Entry:
    """One member as both headers have it; `local` and `central` replace fields in one of them by their offset."""

    name: bytes = b"a/file"
    data: bytes = b"content"
    flags: int = 0
    extra: bytes = b""
    local: dict[int, bytes] = field(default_factory=dict)
    central: dict[int, bytes] = field(default_factory=dict)
    behind: bytes = b""
    """What stands after the bytes of the member."""

    def pack(self, at: int) -> tuple[bytes, bytes]:
        crc = zlib.crc32(self.data)
        size = len(self.data)
        same = struct.pack("<5H3L2H", 20, self.flags, 0, 0, 0x21, crc, size, size, len(self.name), len(self.extra))
        local = patched(b"PK\3\4" + same + self.name + self.extra, self.local)
        central = b"PK\1\2\x14\3" + same + struct.pack("<3H2L", 0, 0, 0, 0o100644 << 16, at) + self.name + self.extra
        return local + self.data + self.behind, patched(central, self.central)


def patched(data: bytes, patches: dict[int, bytes]) -> bytes:
    block = bytearray(data)
    for at, patch in patches.items():
        block[at : at + len(patch)] = patch
    return bytes(block)


def pack(
    *entries: Entry,
    before: bytes = b"",
    between: bytes = b"",
    end: dict[int, bytes] | None = None,
    comment: bytes = b"",
) -> bytes:
    """Make an archive; end: what to replace in the record at its end."""
    body, directory = before, b""
    for entry in entries:
        local, central = entry.pack(len(body))
        body += local
        directory += central
    body += between
    fields = 0, 0, len(entries), len(entries), len(directory), len(body), len(comment)
    return body + directory + patched(struct.pack("<4s4H2LH", b"PK\5\6", *fields), end or {}) + comment


@st.composite
def written_by_zipfile(draw: st.DrawFn) -> bytes:
    """Stored and deflated, with and without zip64, sizes before or after the members."""
    pipe, seekable = Pipe(), io.BytesIO()
    output = draw(st.sampled_from([pipe, seekable]))
    with zipfile.ZipFile(output, "w") as archive:
        for name in draw(
            st.lists(st.text("abé/.", min_size=1, max_size=20).filter(is_ordinary), max_size=5, unique=True)
        ):
            info = zipfile.ZipInfo(name)
            info.compress_type = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
            info.external_attr = draw(st.sampled_from([0, 0o100644 << 16, 0o40755 << 16 | 0x10]))
            info.comment = draw(st.sampled_from([b"", b"PK\5\6"]))
            with archive.open(info, "w", force_zip64=draw(st.booleans())) as file:
                file.write(draw(st.binary(max_size=600)))
        archive.comment = draw(st.sampled_from([b"", b"a comment"]))
    return bytes(pipe.data) if output is pipe else seekable.getvalue()


def is_ordinary(name: str) -> bool:
    return name[0] != "/" and ".." not in name.split("/")


def read_ours(data: bytes) -> list[Read]:
    """Raises: Refused"""
    archive = ZipArchive(io.BytesIO(data))
    archive.check_payload()
    return [(member.raw_name, member.crc, archive.read(member, 1 << 24)) for member in archive.members]


def read_theirs(data: bytes) -> list[Read] | None:
    """None where zipfile can't read it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [(raw_name(member), member.CRC, archive.read(member)) for member in archive.infolist()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError, OSError, EOFError, zlib.error):
        return None


def raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")


def read_forward(data: bytes) -> list[Read] | None:
    """Read by local headers alone, from front to back, as clients do that unpack while they download.

    None where a member's size is not known before its bytes.
    """
    found, at = [], 0
    while data[at : at + 4] == b"PK\3\4":
        _, flags, method, _, _, crc, packed, unpacked, name_size, extra_size = struct.unpack_from(
            "<5H3L2H", data, at + 4
        )
        if flags & 8 or 0xFFFFFFFF in (packed, unpacked):
            return None
        start = at + 30 + name_size + extra_size
        content = data[start : start + packed]
        found.append((data[at + 30 : at + 30 + name_size], crc, inflate(content) if method == 8 else content))
        at = start + packed
    return found


def inflate(data: bytes) -> bytes:
    return zlib.decompress(data, -15)
