"""Checks the digests of an rpm as `rpm --checksig` does: rpm installs no package whose digests don't cover all of it.

1. Each digest that is there must be right.
2. Header and payload must be covered: both by the MD5, or the header by one of its own and the payload by its SHA-256.
   Newer digests of the payload count for newer versions of rpm alone.

Source: rpm.org, "RPM V4 Package format", "RPM V6 Package format"; rpmvs.c.
"""

import hashlib
from typing import BinaryIO

from packrat_core.archives.plain_stream import READ_BYTES
from packrat_core.errors import Damaged, Refused
from packrat_core.packages.rpm.header import STRING, STRINGS, Header, RpmFile, walk
from packrat_core.packages.rpm.tags import (
    PAYLOAD_ALT,
    PAYLOAD_SHA3_256,
    PAYLOAD_SHA256,
    PAYLOAD_SHA512,
    SIGNATURE_MD5,
    SIGNATURE_SHA1,
    SIGNATURE_SHA3_256,
    SIGNATURE_SHA256,
)

_OF_HEADER = ((SIGNATURE_SHA3_256, "sha3_256"), (SIGNATURE_SHA256, "sha256"), (SIGNATURE_SHA1, "sha1"))
_OF_PAYLOAD = (
    (PAYLOAD_SHA256, STRINGS, "sha256"),
    (PAYLOAD_SHA512, STRING, "sha512"),
    (PAYLOAD_SHA3_256, STRING, "sha3_256"),
)
"""Tags, the types that rpm knows them by, and algorithms; the last two are those of packages of format 6."""


class DigestedPayload:
    """The payload of an rpm as it is packed, which can be read once; its digests are computed meanwhile."""

    def __init__(self, rpm: RpmFile, file: BinaryIO) -> None:
        """Read from `file`, the one that `rpm` was read from.

        Raises:
            Refused: a digest of the header differs, or header or payload have none.
        """
        check_digests(rpm)
        file.seek(rpm.end)
        self._file = file
        self._expected = _payload_digests(rpm)
        self._found = {name: hashlib.new(name, usedforsecurity=False) for name in self._expected}
        # The MD5 in the signature header begins with the header; all other digests cover the payload alone.
        if "md5" in self._found:
            self._found["md5"].update(rpm.header.blob)

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        data = self._file.read(size)
        for digest in self._found.values():
            digest.update(data)
        return data

    def finish(self) -> None:
        """Read what is left, and compare the digests.

        Raises:
            Refused: one of them differs.
        """
        while self.read(READ_BYTES):
            pass
        for name, value in self._expected.items():
            if self._found[name].hexdigest() != value:
                raise Damaged(f"its payload is damaged: the {_shown(name)} in its headers is of other bytes")


def check_payload(file: BinaryIO) -> None:
    """Check the digests of header and payload.

    Raises:
        Refused: a digest differs, or header or payload have none.
    """
    file.seek(0)
    DigestedPayload(walk(file), file).finish()


def check_digests(rpm: RpmFile) -> None:
    """Check the digests of the header, and that there are some of the payload, which is not read.

    Raises:
        Refused: a digest differs, or header or payload have none.
    """
    is_covered = False
    for tag, name in _OF_HEADER:
        expected = _hex(rpm.signature, tag, STRING, name)
        if expected is None:
            continue
        is_covered = True
        if expected != hashlib.new(name, rpm.header.blob, usedforsecurity=False).hexdigest():
            raise Damaged(f"its header is damaged: the {_shown(name)} in its signature header is of other bytes")
    digests = _payload_digests(rpm)
    if PAYLOAD_ALT in rpm.header.items and "sha256" not in digests:
        # rpm compares it with the packed payload then, and refuses the package.
        raise Refused("its header has a digest of the unpacked payload alone, so no client would install it")
    if "md5" not in digests and not (is_covered and "sha256" in digests):
        lacking = "payload" if is_covered else "header"
        raise Refused(f"its {lacking} has no digest that every rpm knows, so no client would install it")


def _payload_digests(rpm: RpmFile) -> dict[str, str]:
    """Map algorithms to the digests that cover the payload, in hex; MD5 covers the header and the payload."""
    expected: dict[str, str] = {}
    for tag, kind, name in _OF_PAYLOAD:
        value = _hex(rpm.header, tag, kind, name)
        if value is not None:
            expected[name] = value
    if SIGNATURE_MD5 in rpm.signature.items:
        expected["md5"] = (rpm.signature.binary(SIGNATURE_MD5) or b"").hex()
    return expected


def _hex(header: Header, tag: int, kind: int, name: str) -> str | None:
    """Give a digest in hex, the first under its tag; None if there is none.

    Args:
        header: one of the two headers.
        tag: that of the digest.
        kind: the type that rpm knows it by; it takes no other.
        name: the algorithm.

    Raises:
        Refused: it is of another type.
    """
    item = header.items.get(tag)
    if item is None:
        return None
    if item.kind != kind:
        raise Refused(f"its headers are broken: the {_shown(name)} in them is of type {item.kind}, not {kind}")
    return header.texts(tag)[0].decode("ascii", "replace").lower()


def _shown(name: str) -> str:
    return name.upper().replace("_", "-")
