"""Replaces the OpenPGP signatures in the signature header of an rpm.

1. rpm before version 6 reads a signature of the header under its own tag: 268 for RSA, 267 for other algorithms.
2. rpm 6 reads tag 278 (base64) alone if it is there, and the older tags only if it is not.
3. Where the header has no digest of the payload, a second signature is of both together, under 1002 or 1005. rpm 6
   ignores it if tag 278 is there, so that one is left out then.
4. Signatures of others are removed, wherever they are: rpm would verify them too, with keys that clients don't have.
5. Digests, sizes and the signatures of single files stay as they are. Space reserved for signatures is dropped.

    before = walk(file)
    front = lead + replace_signatures(before.signature, signature, None, by_rsa=True) + before.header.blob

Source: rpm.org, "Tags", "RPM V4 Package format" and "RPM V6 Package format"; rpm's lib/rpmvs.c.
"""

import base64
import struct
from dataclasses import dataclass

from packrat_core.packages.rpm.header import BINARY, INT16, INT32, INT64, STRINGS, Header
from packrat_core.packages.rpm.tags import (
    SIGNATURE_DSA,
    SIGNATURE_DSA_OF_BOTH,
    SIGNATURE_OPENPGP,
    SIGNATURE_RSA,
    SIGNATURE_RSA_OF_BOTH,
    SIGNATURES,
)

_MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
_REGION = 62
_TRAILER_BYTES = 16
_RESERVED = frozenset({999, 1008})
_ALIGNMENT = {INT16: 2, INT32: 4, INT64: 8}
_PADDED_TO = 8


@dataclass(frozen=True, slots=True)
class _Entry:
    tag: int
    kind: int
    count: int
    data: bytes


def replace_signatures(header: Header, signature: bytes, of_both: bytes | None, *, by_rsa: bool) -> bytes:
    """Write a signature header whose only OpenPGP signatures are these, where every version of rpm looks for them.

    Args:
        header: The signature header of the package.
        signature: A detached signature of the package's header, in binary form.
        of_both: One of header and payload together; None if that of the header covers the payload too.
        by_rsa: They were made with an RSA key.

    Returns:
        The signature header with the padding that follows it.
    """
    own = SIGNATURE_RSA if by_rsa else SIGNATURE_DSA
    entries = [
        _Entry(tag, item.kind, item.number, header.data(tag))
        for tag, item in header.items.items()
        if tag not in SIGNATURES and tag not in _RESERVED
    ]
    entries.append(_Entry(own, BINARY, len(signature), signature))
    if of_both is None:
        entries.append(_Entry(SIGNATURE_OPENPGP, STRINGS, 1, base64.b64encode(signature) + b"\0"))
    else:
        own_of_both = SIGNATURE_RSA_OF_BOTH if by_rsa else SIGNATURE_DSA_OF_BOTH
        entries.append(_Entry(own_of_both, BINARY, len(of_both), of_both))
    blob = _write(sorted(entries, key=lambda entry: entry.tag))
    return blob + bytes(-len(blob) % _PADDED_TO)


def _write(entries: list[_Entry]) -> bytes:
    """Write a header structure with one region, which covers all of it."""
    index, store = b"", b""
    for entry in entries:
        store += bytes(-len(store) % _ALIGNMENT.get(entry.kind, 1))
        index += struct.pack(">IIII", entry.tag, entry.kind, len(store), entry.count)
        store += entry.data
    count = len(entries) + 1
    # The region's own entry leads to a trailer behind all values, which tells how long the index is.
    region = struct.pack(">IIII", _REGION, BINARY, len(store), _TRAILER_BYTES)
    store += struct.pack(">IIiI", _REGION, BINARY, -16 * count, 16)
    return _MAGIC + struct.pack(">II", count, len(store)) + region + index + store
