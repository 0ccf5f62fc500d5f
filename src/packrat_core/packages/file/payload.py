"""Checks that an archive of no package type is whole: that a compressed file, a tar or a zip archive doesn't end early.

The end of the file's name says what it is. A file whose first bytes are those of something else is taken as it is, and
so is a tar archive in a dialect that clients may read differently: nothing of it is unpacked here or by the agent.
"""

import re
import zipfile
from typing import BinaryIO

from packrat_core.archives.compressed_stream import open_compressed
from packrat_core.archives.tar import TarLimits, TarReader
from packrat_core.archives.tar_source import FileSource
from packrat_core.errors import Damaged, Refused

# pzstd, and others that can seek, begin with a frame that readers skip.
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes([number]) + b"\x2a\x4d\x18" for number in range(0x50, 0x60)))
_CODINGS: tuple[tuple[re.Pattern[str], bytes | tuple[bytes, ...], str], ...] = (
    (re.compile(r".*\.(gz|tgz)"), b"\x1f\x8b", "gzip"),
    (re.compile(r".*\.(xz|txz)"), b"\xfd7zXZ\0", "xz"),
    (re.compile(r".*\.(bz2|tbz2?)"), b"BZh", "bzip2"),
    (re.compile(r".*\.(zst|tzst)"), _ZSTD_MAGICS, "zstd"),
)
"""Ends of names, the first bytes of such a file, and the name of the compression."""
_ZIP_MAGIC = b"PK\x03\x04"
_USTAR = slice(257, 262)
_TAR_LIMITS = TarLimits(members=10_000_000)


def check_payload(file: BinaryIO, name: str) -> None:
    """Read an archive to its end.

    Args:
        file: the open file.
        name: its name.

    Raises:
        Refused: it ends early, or is a damaged compressed file or a decompression bomb.
    """
    file.seek(0)
    start = file.read(8)
    file.seek(0)
    lower = name.lower()
    for pattern, magic, coding in _CODINGS:
        if pattern.fullmatch(lower) and start.startswith(magic):
            open_compressed(file, coding, several=True).drain()
    if lower.endswith(".tar"):
        _check_tar(file)
    if lower.endswith(".zip") and start.startswith(_ZIP_MAGIC) and not zipfile.is_zipfile(file):
        raise Damaged("it is damaged: the zip archive has no directory at its end")


def _check_tar(file: BinaryIO) -> None:
    """Check that a tar archive has an end.

    Raises:
        Refused: it has not, or a header is damaged.
    """
    # A file that doesn't begin as a tar archive isn't a damaged one, whatever its name says.
    is_tar = file.read(_USTAR.stop)[_USTAR] == b"ustar"
    try:
        for _ in TarReader(FileSource(file), _TAR_LIMITS):
            is_tar = True
    except Refused as error:
        # Any other refusal is of a dialect that clients may read differently.
        if is_tar and isinstance(error, Damaged):
            raise
