"""Fuzz targets: the archive readers of `packrat_core/archives`."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backports import zstd
from hypothesis import strategies as st

from packrat_core.archives.ar import list_members
from packrat_core.archives.compressed_stream import open_compressed
from packrat_core.archives.gzip_stream import check_gzip_payload
from packrat_core.archives.tar import TarReader, UnpackedNames, refuse_unsafe
from packrat_core.archives.tar_source import FileSource
from packrat_core.archives.zip_archive import ZipArchive
from packrat_core.packages.file.payload import check_payload
from packrat_core.packages.image.layer import LayerTar
from packrat_demo.build_deb import Deb, build_deb
from support.fuzz.engine import Target

_TEXT = b"one two three\n" * 40
_BLOCK = 512
_CODINGS = {"xz": lzma.compress(_TEXT), "bzip2": bz2.compress(_TEXT), "zstd": zstd.compress(_TEXT)}
_CODINGS["lzma"] = lzma.compress(_TEXT, format=lzma.FORMAT_ALONE)
_ENDS = ("x.tar.gz", "x.txz", "x.bz2", "x.tar.zst", "x.tar", "x.zip", "x")


@contextmanager
def archive_targets(_directory: Path) -> Iterator[list[Target]]:
    """The readers of archives, with sound archives of several kinds."""
    tars, zips = _tars(), _zips()
    packed = [gzip.compress(_TEXT), gzip.compress(_TEXT) + gzip.compress(b"x"), gzip.compress(bytes(100_000))]
    debs = [build_deb(Deb("one", "1", "all", files=(("/a", b"x"),), compression=end)) for end in ("gz", "xz", "none")]
    anything = [*tars, *zips, *packed, *_CODINGS.values()]
    members = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=16), st.binary(max_size=30)), max_size=4)
    yield [
        Target("archives.ar", debs, lambda data: list_members(io.BytesIO(data)), members.map(_write_ar)),
        Target("archives.tar", tars, _read_tar),
        Target("archives.layer", tars, _read_layer),
        Target("archives.zip", zips, _read_zip),
        Target("archives.gzip", packed, lambda data: check_gzip_payload(io.BytesIO(data))),
        *(
            Target(f"archives.{coding}", [sample, sample + sample], _Decompressor(coding))
            for coding, sample in _CODINGS.items()
        ),
        Target("archives.any", anything, _check_any),
    ]


def _write_ar(members: list[tuple[bytes, bytes, bytes]]) -> bytes:
    written = (b"%-48b%-10d`\n%b" % (name, len(data) - (len(more) % 2), data) for name, more, data in members)
    return b"!<arch>\n" + b"".join(part + b"\n" * (len(part) % 2) for part in written)


def _read_tar(data: bytes) -> None:
    """Read a tar whose checksums are right, so that what is behind them is reached."""
    names = UnpackedNames()
    reader = TarReader(FileSource(io.BytesIO(_seal(data))))
    for member in reader:
        refuse_unsafe(member)
        names.add(member)
        if member.is_file:
            for _ in reader.chunks():
                pass


def _read_layer(data: bytes) -> None:
    """Read such a tar as that of a layer, in parts."""
    sealed, layer = _seal(data), LayerTar()
    for at in range(0, len(sealed), 700):
        layer.feed(sealed[at : at + 700])
    layer.finish()


def _seal(data: bytes) -> bytes:
    sealed = bytearray(data)
    for at in range(0, len(sealed) - _BLOCK + 1, _BLOCK):
        if sealed[at + 257 : at + 262] == b"ustar":
            sealed[at + 148 : at + 156] = b" " * 8
            sealed[at + 148 : at + 156] = b"%06o\0 " % sum(sealed[at : at + _BLOCK])
    return bytes(sealed)


def _read_zip(data: bytes) -> None:
    archive = ZipArchive(io.BytesIO(data))
    for member in archive.members:
        archive.read(member, 100_000)
    archive.check_payload()


class _Decompressor:
    """Decompresses one stream or several, to the end."""

    def __init__(self, coding: str) -> None:
        self._coding = coding

    def __call__(self, data: bytes) -> None:
        open_compressed(io.BytesIO(data), self._coding, several=True).drain()


def _check_any(data: bytes) -> None:
    for name in _ENDS:
        check_payload(io.BytesIO(data), name)


def _tars() -> list[bytes]:
    made = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as archive:
            for name, kind in (("a", tarfile.REGTYPE), ("d", tarfile.DIRTYPE), ("d/s", tarfile.SYMTYPE)):
                info = tarfile.TarInfo(name)
                info.type, info.linkname, info.size = kind, "../a", 3 * (kind == tarfile.REGTYPE)
                archive.addfile(info, io.BytesIO(b"abc"))
            if form != tarfile.USTAR_FORMAT:
                archive.addfile(tarfile.TarInfo("long/" + "n" * 150))
                archive.addfile(tarfile.TarInfo("é"))
        made.append(file.getvalue()[: 20 * _BLOCK])
    return made


def _zips() -> list[bytes]:
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for large in (False, True):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", method) as archive:
                for name in ("a", "d/é"):
                    with archive.open(name, "w", force_zip64=large) as member:
                        member.write(_TEXT)
            made.append(file.getvalue())
    return made
