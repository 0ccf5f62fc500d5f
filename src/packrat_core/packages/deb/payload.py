"""Unpacks the archives of a .deb in memory, and checks that dpkg could unpack them, too.

Stricter than dpkg: nothing but zeros may stand behind a compressed stream or a tar archive, a tar archive has an end
mark, and its names stay inside the directory that it is unpacked into.
"""

from typing import BinaryIO

from packrat_core.archives.tar import TarReader
from packrat_core.packages.deb.control import find_archives, open_archive
from packrat_core.packages.parts import naming


def check_payload(file: BinaryIO) -> None:
    """Decompress the control and the data archive to their ends and read all their members.

    Raises: Refused where one is torn, damaged or a bomb.
    """
    for member, part in zip(find_archives(file), ("its control archive", "its data archive"), strict=True):
        with naming(part):
            for _ in TarReader(open_archive(file, member), may_be_empty=True):
                pass
