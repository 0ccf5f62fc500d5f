"""Finds faults in keys and signatures that gpgv ignores: unusual encodings, wrong checksums and wrong key IDs.

Other clients may reject them, and they show that the file changed after it was written.

Source: RFC 4880, sections 5.2.3 and 6.
"""

import base64
import binascii
import hashlib
import re

_ARMOR = re.compile(
    rb"-----BEGIN PGP (?P<kind>[A-Z ]+)-----\n(?:[A-Z][a-z]+: [ -~]*\n)*\n"
    rb"(?P<body>(?:[A-Za-z0-9+/]+={0,2}\n)+)(?:=(?P<crc>[A-Za-z0-9+/]{4})\n)?-----END PGP (?P=kind)-----\n"
)
_SIGNATURE = re.compile(
    # Tag and length of a signature packet; version 4, type 0 (binary document), key algorithm, hash algorithm.
    rb"(?:\x88.|\x89..|\xc2(?:[\0-\xbf]|[\xc0-\xdf].|\xff....))(?P<covered>\x04\x00.(?P<hash>.)(?P<hashed_size>..))",
    re.DOTALL,
)
_HASHES = {b"\x08": "sha256", b"\x09": "sha384", b"\x0a": "sha512"}
_FINGERPRINT = re.compile(rb"\x16\x21\x04(.{20})", re.DOTALL)
"""The issuer fingerprint subpacket, for a key of version 4."""

_UNHASHED = b"\0\x0a\x09\x10"
"""Start of the unhashed part: its length of ten bytes, then the length and type of the issuer key ID subpacket."""

_KEY_ID_BYTES = 8
_COLUMNS = 64
_CRC_START = 0xB704CE
_CRC_POLYNOMIAL = 0x1864CFB


def find_armor_fault(text: bytes) -> str | None:
    """Return what is wrong with the armor of a key or signature, or None; binary ones have no armor to check."""
    if b"-----" not in text:
        return None
    match = _ARMOR.fullmatch(text)
    if match is None:
        return "has an armor that gpg does not write"
    try:
        data = base64.b64decode(match["body"].replace(b"\n", b""), validate=True)
    except binascii.Error:
        return "has an armor that can't be decoded"
    # Other line lengths, or other unused bits at the end, decode to the same bytes.
    encoded = base64.b64encode(data)
    lines = [encoded[at : at + _COLUMNS] for at in range(0, len(encoded), _COLUMNS)]
    if b"\n".join([*lines, b""]) != match["body"]:
        return "has an armor that is not written as gpg does"
    if match["crc"] is not None and base64.b64decode(match["crc"]) != crc24(data):
        return "has an armor with a wrong checksum"
    return None


def find_signature_fault(signature: bytes, signed: bytes) -> str | None:
    """Return what is wrong with the form of a detached signature that verifies, or None.

    A signature does not cover what follows its "hashed" part: the key ID, which other clients use to find the key, and
    the first two bytes of the hash, which they use to reject a mismatch quickly.
    """
    if signature.startswith(b"-"):
        return find_armor_fault(signature)
    match = _SIGNATURE.match(signature)
    if match is None:
        return None
    end = match.end() + int.from_bytes(match["hashed_size"], "big")
    fingerprint = _FINGERPRINT.search(signature[match.end() : end])
    if fingerprint is None or match["hash"] not in _HASHES:
        return None
    # Recompute the digest that was signed, to know its first two bytes.
    covered = match["covered"] + signature[match.end() : end]
    digest = hashlib.new(_HASHES[match["hash"]], signed + covered + b"\x04\xff" + len(covered).to_bytes(4, "big"))
    wanted = _UNHASHED + fingerprint[1][-_KEY_ID_BYTES:] + digest.digest()[:2]
    if not signature.startswith(wanted, end):
        return "does not name the key that made it, or the hash it made"
    return "has a number of a wrong length" if _has_wrong_length(signature[end + len(wanted) :]) else None


def _has_wrong_length(numbers: bytes) -> bool:
    """Return whether a number in a signature declares a wrong count of bits; gpgv only looks at whole bytes."""
    at = 0
    while at + 2 < len(numbers):
        bits, first = int.from_bytes(numbers[at : at + 2], "big"), numbers[at + 2]
        # Some versions of gpg leave a leading zero byte in the numbers of an Ed25519 signature.
        if first and (bits - 1) % 8 + 1 != first.bit_length():
            return True
        at += 2 + (bits + 7) // 8
    return False


def crc24(data: bytes) -> bytes:
    crc = _CRC_START
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc.to_bytes(3, "big")
