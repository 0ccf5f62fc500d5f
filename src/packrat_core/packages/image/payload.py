"""Checks that each blob of an image archive has the digest in its name, and that gzip layers decompress completely.

Layers in zstd are checked by their digests alone.
"""

import hashlib
import re
from typing import BinaryIO

from packrat_core.archives.gzip_stream import GZIP_MAGIC, check_gzip_payload
from packrat_core.archives.plain_stream import READ_BYTES
from packrat_core.archives.tar_source import SectionSource
from packrat_core.errors import Refused
from packrat_core.packages.image.archive import list_members
from packrat_core.packages.parts import naming

_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")


def check_payload(file: BinaryIO) -> None:
    """Read every file of the archive to its end, decompressing those in gzip.

    Raises:
        Refused: a file is torn, damaged or a decompression bomb, or does not match its digest.
    """
    for member in list_members(file).values():
        if not member.is_file:
            continue
        blob = _BLOB.fullmatch(member.name)
        if blob is not None and _digest(SectionSource(file, member.offset, member.size)) != blob[1]:
            raise Refused(f"the bytes of its blob {member.name} are not those that its digest names")
        if SectionSource(file, member.offset, member.size).read(len(GZIP_MAGIC)) == GZIP_MAGIC:
            with naming(f"its {member.name[:120]}"):
                check_gzip_payload(SectionSource(file, member.offset, member.size))


def _digest(source: SectionSource) -> str:
    digest = hashlib.sha256()
    while data := source.read(READ_BYTES):
        digest.update(data)
    return digest.hexdigest()
