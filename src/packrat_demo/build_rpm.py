"""Builds small, valid .rpm files of format version 4, with the same bytes each time.

Source: rpm.org, "RPM V4 Package format" and "Tags"; cpio(5), the new ASCII format.
"""

import gzip
import hashlib
import io
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_MOMENT = 1_700_000_000
_HEADER_MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
_INT16, _INT32, _INT64, _STRING, _BINARY, _STRINGS, _I18N = 3, 4, 5, 6, 7, 8, 9
_ALIGNMENT = {_INT16: 2, _INT32: 4, _INT64: 8}
_SIGNATURES, _IMMUTABLE = 62, 63
_EQUAL, _AT_MOST, _RPMLIB = 8, 10, 1 << 24
_SHA256 = 8

Dependency = tuple[str, str]
"""A name and the version that it must be equal to; '' for any version."""


@dataclass(frozen=True, slots=True)
class Rpm:
    """A package to build; files: path below / → content. Architecture `src` makes a source package.

    `module`: the label of the module that it belongs to, name:stream:version:context; '' if it belongs to none.
    `is_old`: with the digests that rpm before 4.14 wrote, none of the payload in the header.
    """

    name: str
    version: str
    arch: str
    release: str = "1"
    epoch: int | None = None
    requires: tuple[Dependency, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    summary: bytes | None = None
    build_time: int = _MOMENT
    module: str = ""
    is_old: bool = False

    @property
    def file_name(self) -> str:
        """The usual name of its file."""
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"


Value = int | str | bytes | tuple[int, ...] | tuple[str, ...]
TagValues = Mapping[int, tuple[int, Value]]
Tags = dict[int, tuple[int, Value]]


def build_rpm(rpm: Rpm) -> bytes:
    """Make the package."""
    plain = _cpio(rpm)
    output = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=output, mtime=0) as packed:
        packed.write(plain)
    payload = output.getvalue()
    header = write_header(_about(rpm) | _about_files(rpm) | _about_payload(rpm, payload), _IMMUTABLE)
    digests: Tags = {
        269: (_STRING, hashlib.sha1(header, usedforsecurity=False).hexdigest()),
        273: (_STRING, hashlib.sha256(header).hexdigest()),
        1000: (_INT32, len(header) + len(payload)),
        1004: (_BINARY, hashlib.md5(header + payload, usedforsecurity=False).digest()),
        1007: (_INT32, len(plain)),
    }
    if rpm.is_old:
        del digests[273]
    signature = write_header(digests, _SIGNATURES)
    lead = struct.pack(
        ">4sBBHH66sHH16x", b"\xed\xab\xee\xdb", 3, 0, rpm.arch == "src", 1, rpm.file_name.encode()[:65], 1, 5
    )
    return lead + signature + bytes(-len(signature) % 8) + header + payload


def write_rpm(rpm: Rpm, directory: Path) -> Path:
    """Write the package under its usual name."""
    path = directory / rpm.file_name
    path.write_bytes(build_rpm(rpm))
    return path


def _about(rpm: Rpm) -> Tags:
    version = f"{rpm.version}-{rpm.release}"
    if rpm.epoch is not None:
        version = f"{rpm.epoch}:{version}"
    needed = [(name, wanted, _EQUAL if wanted else 0) for name, wanted in rpm.requires]
    needed += [
        ("rpmlib(CompressedFileNames)", "3.0.4-1", _RPMLIB | _AT_MOST),
        ("rpmlib(FileDigests)", "4.6.0-1", _RPMLIB | _AT_MOST),
        ("rpmlib(PayloadFilesHavePrefix)", "4.0-1", _RPMLIB | _AT_MOST),
    ]
    text = f"{rpm.name} for trying out a mirror"
    tags: Tags = {
        100: (_STRINGS, ("C",)),
        1000: (_STRING, rpm.name),
        1001: (_STRING, rpm.version),
        1002: (_STRING, rpm.release),
        1004: (_I18N, rpm.summary if rpm.summary is not None else text),
        1005: (_I18N, f"{text}."),
        1006: (_INT32, rpm.build_time),
        1007: (_STRING, "demo.example.com"),
        1009: (_INT32, sum(len(data) for _, data in rpm.files)),
        1014: (_STRING, "Apache-2.0"),
        1015: (_STRING, "Packrat Demo <demo@example.com>"),
        1016: (_I18N, "Unspecified"),
        1021: (_STRING, "linux"),
        1022: (_STRING, "x86_64" if rpm.arch == "src" else rpm.arch),
        1047: (_STRINGS, (rpm.name,)),
        1048: (_INT32, tuple(flag for _, _, flag in needed)),
        1049: (_STRINGS, tuple(name for name, _, _ in needed)),
        1050: (_STRINGS, tuple(wanted for _, wanted, _ in needed)),
        1064: (_STRING, "4.18.0"),
        1080: (_INT32, (rpm.build_time,)),
        1081: (_STRINGS, (f"Packrat Demo <demo@example.com> - {rpm.version}-{rpm.release}",)),
        1082: (_STRINGS, ("- made to be mirrored",)),
        1112: (_INT32, (_EQUAL,)),
        1113: (_STRINGS, (version,)),
    }
    if rpm.module:
        tags[5096] = (_STRING, rpm.module)
    if rpm.epoch is not None:
        tags[1003] = (_INT32, rpm.epoch)
    if rpm.arch == "src":
        tags[1106] = (_INT32, 1)
    else:
        tags[1044] = (_STRING, f"{rpm.name}-{rpm.version}-{rpm.release}.src.rpm")
    return tags


def _about_files(rpm: Rpm) -> Tags:
    if not rpm.files:
        return {}
    count = len(rpm.files)
    parents = [path.rpartition("/")[0] + "/" for path, _ in rpm.files]
    directories = tuple(sorted(set(parents)))
    return {
        1028: (_INT32, tuple(len(data) for _, data in rpm.files)),
        1030: (_INT16, (0o100644,) * count),
        1033: (_INT16, (0,) * count),
        1034: (_INT32, (rpm.build_time,) * count),
        1035: (_STRINGS, tuple(hashlib.sha256(data).hexdigest() for _, data in rpm.files)),
        1036: (_STRINGS, ("",) * count),
        1037: (_INT32, (0,) * count),
        1039: (_STRINGS, ("root",) * count),
        1040: (_STRINGS, ("root",) * count),
        1045: (_INT32, (0xFFFFFFFF,) * count),
        1095: (_INT32, (1,) * count),
        1096: (_INT32, tuple(range(1, count + 1))),
        1097: (_STRINGS, ("",) * count),
        1116: (_INT32, tuple(directories.index(parent) for parent in parents)),
        1117: (_STRINGS, tuple(path.rpartition("/")[2] for path, _ in rpm.files)),
        1118: (_STRINGS, directories),
        5011: (_INT32, _SHA256),
    }


def _about_payload(rpm: Rpm, payload: bytes) -> Tags:
    tags: Tags = {1124: (_STRING, "cpio"), 1125: (_STRING, "gzip"), 1126: (_STRING, "9")}
    if not rpm.is_old:
        tags[5092] = (_STRINGS, (hashlib.sha256(payload).hexdigest(),))
        tags[5093] = (_INT32, _SHA256)
    return tags


def write_header(tags: TagValues, region: int) -> bytes:
    """Write a header structure whose region covers all of it, as rpm makes and signs them."""
    index, store = b"", b""
    for tag, (kind, value) in sorted(tags.items()):
        count, data = _encode(kind, value)
        store += bytes(-len(store) % _ALIGNMENT.get(kind, 1))
        index += struct.pack(">IIII", tag, kind, len(store), count)
        store += data
    entries = len(tags) + 1
    first = struct.pack(">IIII", region, _BINARY, len(store), 16)
    store += struct.pack(">IIiI", region, _BINARY, -16 * entries, 16)
    return _HEADER_MAGIC + struct.pack(">II", entries, len(store)) + first + index + store


def _encode(kind: int, value: Value) -> tuple[int, bytes]:
    if kind in _ALIGNMENT:
        numbers: Iterable[int] = value if isinstance(value, tuple) else (value,)  # type: ignore[assignment] # numbers, by the kind
        parts = [number.to_bytes(_ALIGNMENT[kind], "big") for number in numbers]
        return len(parts), b"".join(parts)
    if kind == _BINARY:
        assert isinstance(value, bytes)
        return len(value), value
    texts = value if isinstance(value, tuple) else (value,)
    encoded = [text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape") for text in texts]
    return len(encoded), b"".join(text + b"\0" for text in encoded)


def _cpio(rpm: Rpm) -> bytes:
    """Write the archive of the files."""
    members = [(f".{path}".encode("utf-8", "surrogateescape"), 0o100644, data) for path, data in rpm.files]
    members.append((b"TRAILER!!!", 0, b""))
    parts = []
    for inode, (name, mode, data) in enumerate(members, start=1):
        moment = rpm.build_time if mode else 0
        numbers = (inode if mode else 0, mode, 0, 0, 1, moment, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % number for number in numbers) + name + b"\0"
        parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]
    return b"".join(parts)
