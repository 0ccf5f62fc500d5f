"""Checks that dpkg can unpack the archives of a .deb, by decompressing them in memory.

It is stricter than dpkg: only zeros may follow a compressed stream or a tar archive, a tar archive must have an end
mark, and its names must stay inside the directory that it is unpacked into.
"""

from typing import BinaryIO

from packrat_core.archives.tar import TarReader
from packrat_core.packages.deb.control import find_archives, open_archive
from packrat_core.packages.parts import naming


def check_payload(file: BinaryIO) -> None:
    """Decompress the control and data archives to the end and read all their members.

    Raises:
        Refused: an archive is torn, damaged or a decompression bomb.
    """
    for member, part in zip(find_archives(file), ("its control archive", "its data archive"), strict=True):
        with naming(part):
            for _ in TarReader(open_archive(file, member), may_be_empty=True):
                pass
