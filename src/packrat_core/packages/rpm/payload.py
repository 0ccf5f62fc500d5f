"""Checks the digests of an rpm, as `rpm --checksig` does; if none covers the payload, the payload is decompressed."""

import hashlib
from collections.abc import Mapping
from typing import BinaryIO

from packrat_core.archives.compressed_stream import open_compressed
from packrat_core.archives.plain_stream import READ_BYTES
from packrat_core.errors import Refused
from packrat_core.packages.parts import naming
from packrat_core.packages.rpm.header import RpmFile, walk
from packrat_core.packages.rpm.tags import (
    PAYLOAD_COMPRESSOR,
    PAYLOAD_DIGEST_ALGORITHM,
    PAYLOAD_DIGESTS,
    SIGNATURE_MD5,
    SIGNATURE_SHA1,
    SIGNATURE_SHA256,
)

_ALGORITHMS: Mapping[int, str] = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
"""Number of a hash algorithm in OpenPGP → its name."""

_SHA256 = 8
_CODINGS = frozenset({"gzip", "xz", "zstd", "bzip2", "lzma"})


def check_payload(file: BinaryIO) -> None:
    """Check the digests of header and payload.

    Raises:
        Refused: a digest differs; or none covers the payload, and it is torn, damaged or a decompression bomb.
    """
    file.seek(0)
    rpm = walk(file)
    _check_header(rpm)
    expected = _payload_digests(rpm)
    if not expected:
        _decompress(file, rpm)
        return
    found = {name: hashlib.new(name, usedforsecurity=False) for name in expected}
    # The MD5 in the signature header begins with the header; all other digests cover the payload alone.
    if "md5" in found:
        found["md5"].update(rpm.header.blob)
    file.seek(rpm.end)
    while data := file.read(READ_BYTES):
        for digest in found.values():
            digest.update(data)
    for name, value in expected.items():
        if found[name].hexdigest() != value:
            raise Refused(f"its payload is damaged: the {name.upper()} in its headers is of other bytes")


def _check_header(rpm: RpmFile) -> None:
    for tag, name in ((SIGNATURE_SHA256, "sha256"), (SIGNATURE_SHA1, "sha1")):
        expected = rpm.signature.text(tag)
        if expected is None and tag in rpm.signature.items:
            raise Refused(f"its signature header is broken: the {name.upper()} in it is no text")
        found = hashlib.new(name, rpm.header.blob, usedforsecurity=False).hexdigest()
        if expected is not None and expected != found.encode():
            raise Refused(f"its header is damaged: the {name.upper()} in its signature header is of other bytes")


def _payload_digests(rpm: RpmFile) -> dict[str, str]:
    """Map algorithms to the digests that cover the payload, in hex; MD5 covers the header and the payload."""
    expected: dict[str, str] = {}
    text = rpm.header.text(PAYLOAD_DIGESTS)
    algorithm = next(iter(rpm.header.numbers(PAYLOAD_DIGEST_ALGORITHM)), _SHA256)
    if text is not None and algorithm in _ALGORITHMS:
        expected[_ALGORITHMS[algorithm]] = text.decode("ascii", "replace")
    md5 = rpm.signature.binary(SIGNATURE_MD5)
    if md5 is not None:
        expected["md5"] = md5.hex()
    return expected


def _decompress(file: BinaryIO, rpm: RpmFile) -> None:
    coding = (rpm.header.text(PAYLOAD_COMPRESSOR) or b"gzip").decode("ascii", "replace")
    if coding in _CODINGS:
        file.seek(rpm.end)
        with naming("its payload"):
            open_compressed(file, coding).drain()
