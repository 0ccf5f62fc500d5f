"""Builds small, valid .deb files, with the same bytes each time.

Source: deb(5), deb-control(5).
"""

import gzip
import hashlib
import io
import lzma
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backports import zstd

_MOMENT = 1_700_000_000

Compression = Literal["gz", "xz", "zst", "none"]


@dataclass(frozen=True, slots=True)
class Deb:
    """A package to build; files: path below / → content."""

    name: str
    version: str
    architecture: str
    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    compression: Compression = "gz"

    @property
    def file_name(self) -> str:
        """The usual name of its file, without the epoch."""
        return f"{self.name}_{self.version.partition(':')[2] or self.version}_{self.architecture}.deb"


def build_deb(deb: Deb) -> bytes:
    """Make the package."""
    end = "" if deb.compression == "none" else f".{deb.compression}"
    md5sums = "".join(
        f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {path.lstrip('/')}\n" for path, data in deb.files
    )
    control = _tar((("control", write_control(deb)), ("md5sums", md5sums.encode())))
    members = (
        ("debian-binary", b"2.0\n"),
        (f"control.tar{end}", _compress(control, deb.compression)),
        (f"data.tar{end}", _compress(_tar(deb.files), deb.compression)),
    )
    return b"!<arch>\n" + b"".join(_member(name, data) for name, data in members)


def write_deb(deb: Deb, directory: Path) -> Path:
    """Write the package under its usual name."""
    path = directory / deb.file_name
    path.write_bytes(build_deb(deb))
    return path


def write_control(deb: Deb) -> bytes:
    """Make the control file; `deb.fields` replace the usual ones."""
    size_kib = (sum(len(data) for _, data in deb.files) + 1023) // 1024
    fields = {
        "Package": deb.name,
        "Version": deb.version,
        "Architecture": deb.architecture,
        "Maintainer": "Packrat Demo <demo@example.com>",
        "Installed-Size": str(size_kib),
        "Section": "misc",
        "Priority": "optional",
        "Description": f"{deb.name} for trying out a mirror",
    } | dict(deb.fields)
    return "".join(f"{name}: {value}\n" for name, value in fields.items()).encode()


def _tar(files: tuple[tuple[str, bytes], ...]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as archive:
        made: set[str] = set()
        for path, data in files:
            parts = path.strip("/").split("/")
            for depth in range(len(parts)):
                directory = "./" + "".join(f"{part}/" for part in parts[:depth])
                if directory not in made:
                    made.add(directory)
                    archive.addfile(_entry(directory, tarfile.DIRTYPE, 0o755, 0))
            archive.addfile(_entry("./" + "/".join(parts), tarfile.REGTYPE, 0o644, len(data)), io.BytesIO(data))
    return output.getvalue()


def _entry(name: str, kind: bytes, mode: int, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.mtime = kind, mode, size, _MOMENT
    entry.uname = entry.gname = "root"
    return entry


def _compress(data: bytes, compression: Compression) -> bytes:
    match compression:
        case "gz":
            output = io.BytesIO()
            with gzip.GzipFile(filename="", mode="wb", fileobj=output, mtime=0) as packed:
                packed.write(data)
            return output.getvalue()
        case "xz":
            return lzma.compress(data, preset=1)
        case "zst":
            return zstd.compress(data)
        case "none":
            return data


def _member(name: str, data: bytes) -> bytes:
    header = f"{name:<16}{_MOMENT:<12}{0:<6}{0:<6}{0o100644:<8o}{len(data):<10}`\n"
    return header.encode() + data + b"\n" * (len(data) % 2)
