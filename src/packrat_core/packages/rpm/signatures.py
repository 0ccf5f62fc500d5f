"""Finds the OpenPGP signatures that clients read in an rpm, which depends on the version of rpm.

- rpm before version 6 doesn't know tag 278, and verifies the signatures under all other tags.
- rpm 6 verifies those under tag 278 alone if there are any, and else does as before.
- Both refuse a package if any of the signatures that they read does not verify, or is of a key that they don't have.
- From rpm 4.14 on, they refuse one whose payload no signature covers. That of the header does if the header has the
  payload's digest, which rpm before 4.14 did not write: such packages need one of header and payload together.

    for version, signatures in read_signatures(walk(file)).items(): ...

Source: rpm.org, "Tags"; rpm's lib/rpmvs.c.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from packrat_core.packages.rpm.header import RpmFile
from packrat_core.packages.rpm.tags import PAYLOAD_SHA256, SIGNATURE_DSA, SIGNATURE_OPENPGP, SIGNATURE_RSA, SIGNATURES

_OF_HEADER = frozenset({SIGNATURE_DSA, SIGNATURE_RSA, SIGNATURE_OPENPGP})


@dataclass(frozen=True, slots=True)
class RpmSignature:
    """One signature, unverified: its tag, and its bytes in binary form; these are empty if they can't be read.

    `covers_payload`: it is of header and payload together, as rpm 3 made them, else of the header alone.
    """

    tag: int
    data: bytes
    covers_payload: bool


def read_signatures(rpm: RpmFile) -> Mapping[str, tuple[RpmSignature, ...]]:
    """Map the versions of rpm, in words, to the signatures that they read."""
    old = tuple(
        RpmSignature(tag, rpm.signature.binary(tag) or b"", tag not in _OF_HEADER)
        for tag in sorted(SIGNATURES - {SIGNATURE_OPENPGP})
        if tag in rpm.signature.items
    )
    new = tuple(RpmSignature(SIGNATURE_OPENPGP, data, covers_payload=False) for data in _decode(rpm))
    return {"rpm before version 6": old, "rpm 6": new or old}


def is_header_enough(rpm: RpmFile) -> bool:
    """Tell whether a signature of the header covers the payload too."""
    return PAYLOAD_SHA256 in rpm.header.items


def _decode(rpm: RpmFile) -> list[bytes]:
    if SIGNATURE_OPENPGP not in rpm.signature.items:
        return []
    decoded = []
    for text in rpm.signature.texts(SIGNATURE_OPENPGP) or [b"!"]:
        try:
            decoded.append(base64.b64decode(text, validate=True))
        except binascii.Error:
            decoded.append(b"")
    return decoded
