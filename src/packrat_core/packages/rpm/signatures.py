"""Finds the OpenPGP signatures of an rpm's header."""

import base64
import binascii

from packrat_core.packages.rpm.header import RpmFile
from packrat_core.packages.rpm.tags import SIGNATURE_DSA, SIGNATURE_OPENPGP, SIGNATURE_RSA


def header_signatures(rpm: RpmFile) -> list[bytes]:
    """Return the signatures of the header in binary form, unverified; those that are not valid base64 are left out."""
    binary = (rpm.signature.binary(tag) for tag in (SIGNATURE_RSA, SIGNATURE_DSA))
    found = [signature for signature in binary if signature is not None]
    for text in rpm.signature.texts(SIGNATURE_OPENPGP):
        try:
            found.append(base64.b64decode(text, validate=True))
        except binascii.Error:
            continue
    return found
