"""Decompresses a wheel or source distribution and checks its checksums, as pip does when it installs one."""

from typing import BinaryIO

from packrat_core.archives.gzip_stream import GZIP_MAGIC, check_gzip_payload
from packrat_core.archives.zip_archive import ZipArchive


def check_payload(file: BinaryIO) -> None:
    """Read a zip archive or a gzip file to its end.

    Raises:
        Refused: it is damaged or a decompression bomb.
    """
    file.seek(0)
    magic = file.read(len(GZIP_MAGIC))
    file.seek(0)
    if magic == GZIP_MAGIC:
        check_gzip_payload(file)
    else:
        ZipArchive(file).check_payload()
