"""Builds rpms with any header and any payload, and right digests of both, and lets the real rpm install them."""

import gzip
import hashlib
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packrat_demo.build_rpm import Rpm, Tags, Value, build_rpm, write_header

NUMBER, NUMBERS, STRING, BINARY, STRINGS = 3, 4, 6, 7, 8
GHOST = 64


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the header lists it; `digest` is that of `data` if it is None."""

    path: str
    data: bytes = b""
    mode: int = stat.S_IFREG | 0o644
    target: str = ""
    flags: int = 0
    inode: int = 0
    size: int | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Packed:
    """A member of the archive; `name` is a number for the magic 07070X, `size` what it says of its content."""

    name: str | int
    data: bytes = b""
    size: int | None = None
    magic: bytes = b"070701"
    mode: int = stat.S_IFREG | 0o644


TRAILER = Packed("TRAILER!!!")


@dataclass(frozen=True, slots=True)
class Package:
    """A package: `payload` is the archive, packed as `compression` says; `tags` replace those of the header."""

    listed: Sequence[Listed]
    payload: bytes
    compression: str | None = "gzip"
    tags: Mapping[int, tuple[int, Value] | None] = field(default_factory=dict)


def pack(members: Iterable[Packed], *, end: bool = True) -> bytes:
    """Write an archive."""
    archive = bytearray()
    for member in [*members, TRAILER] if end else members:
        if isinstance(member.name, int):
            archive += b"07070X%08x" % (member.name & 0xFFFFFFFF)
        else:
            name = member.name.encode() + b"\0"
            size = len(member.data) if member.size is None else member.size
            numbers = (1, member.mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name), 0)
            archive += member.magic + b"".join(b"%08x" % number for number in numbers) + name
        archive += bytes(-len(archive) % 4) + member.data
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


def write_package(path: Path, package: Package) -> Path:
    """Write a package whose header and payload have the right digests."""
    header_tags: Tags = {
        100: (STRINGS, ("C",)),
        1000: (STRING, "x"),
        1001: (STRING, "1"),
        1002: (STRING, "1"),
        1004: (9, "x"),
        1005: (9, "x"),
        1006: (NUMBERS, 1_700_000_000),
        1009: (NUMBERS, 0),
        1014: (STRING, "x"),
        1016: (9, "x"),
        1021: (STRING, "linux"),
        1022: (STRING, "noarch"),
        1044: (STRING, "x-1-1.src.rpm"),
        1047: (STRINGS, ("x",)),
        1112: (NUMBERS, (8,)),
        1113: (STRINGS, ("1-1",)),
        1124: (STRING, "cpio"),
        5092: (STRINGS, (hashlib.sha256(package.payload).hexdigest(),)),
        5093: (NUMBERS, 8),
    }
    if package.listed:
        header_tags |= _of_files(package.listed)
    if package.compression is not None:
        header_tags[1125] = (STRING, package.compression)
    for tag, value in package.tags.items():
        if value is None:
            header_tags.pop(tag, None)
        else:
            header_tags[tag] = value
    header = write_header(dict(sorted(header_tags.items())), 63)
    signature = write_header(
        {
            269: (STRING, hashlib.sha1(header, usedforsecurity=False).hexdigest()),
            273: (STRING, hashlib.sha256(header).hexdigest()),
            1000: (NUMBERS, len(header) + len(package.payload)),
            1004: (BINARY, hashlib.md5(header + package.payload, usedforsecurity=False).digest()),
        },
        62,
    )
    lead = build_rpm(Rpm("x", "1", "noarch"))[:96]
    path.write_bytes(lead + signature + bytes(-len(signature) % 8) + header + package.payload)
    return path


def _of_files(files: Sequence[Listed]) -> Tags:
    parents = [file.path.rpartition("/")[0] + "/" for file in files]
    directories = tuple(sorted(set(parents)))
    is_regular = [stat.S_ISREG(file.mode) for file in files]
    return {
        1028: (NUMBERS, tuple(len(file.target or file.data) if file.size is None else file.size for file in files)),
        1030: (NUMBER, tuple(file.mode for file in files)),
        1033: (NUMBER, (0,) * len(files)),
        1034: (NUMBERS, (1_700_000_000,) * len(files)),
        1035: (
            STRINGS,
            tuple(
                file.digest if file.digest is not None else hashlib.sha256(file.data).hexdigest() if regular else ""
                for file, regular in zip(files, is_regular, strict=True)
            ),
        ),
        1036: (STRINGS, tuple(file.target for file in files)),
        1037: (NUMBERS, tuple(file.flags for file in files)),
        1039: (STRINGS, ("root",) * len(files)),
        1040: (STRINGS, ("root",) * len(files)),
        1045: (NUMBERS, (0xFFFFFFFF,) * len(files)),
        1095: (NUMBERS, (1,) * len(files)),
        1096: (NUMBERS, tuple(file.inode or number + 1000 for number, file in enumerate(files))),
        1097: (STRINGS, ("",) * len(files)),
        1116: (NUMBERS, tuple(directories.index(parent) for parent in parents)),
        1117: (STRINGS, tuple(file.path.rpartition("/")[2] for file in files)),
        1118: (STRINGS, directories),
        5011: (NUMBERS, 8),
    }


def gzipped(archive: bytes) -> bytes:
    """Pack an archive as most tests do."""
    return gzip.compress(archive, mtime=0)


def install(path: Path, root: Path) -> str:
    """Let rpm install a package in a root of its own; return what went wrong, '' if all is as the header says."""
    (root / "var/lib/rpm").mkdir(parents=True)
    rpm = ["rpm", "--root", str(root)]
    command = [*rpm, "-i", "--nodeps", "--ignorearch", "--ignoreos", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=60)
    if done.returncode:
        return f"rpm fails with {done.returncode}: {done.stderr.strip()}"
    verified = subprocess.run(
        [*rpm, "-V", "--nodeps", "x"], capture_output=True, text=True, errors="replace", check=False, timeout=60
    )
    return f"rpm does harm: {verified.stdout.strip()}" if verified.returncode else ""
