"""Puts several public keys into one file, as clients read it; writes ASCII armor.

    keys = join_keys([old.binary, new.binary])
    keys.armored

Source: RFC 4880, sections 6.1 (checksum), 6.2 (armor) and 11.1 (a keyring is its keys, one after the other).
"""

import base64
from collections.abc import Sequence

from packrat_agent.gpg.signing_key import PublicKey

_LINE = 64
_CRC24_START, _CRC24_POLYNOMIAL = 0xB704CE, 0x1864CFB


def join_keys(keys: Sequence[bytes], of_packages: Sequence[bytes] = ()) -> PublicKey:
    """Join public keys.

    Args:
        keys: Those that verify indexes, in binary form.
        of_packages: Those that verify packages only. They stand in the armored form alone: clients that check packages
            read that, and apt, which does not, reads the binary form.
    """
    current = _joined(keys)
    return PublicKey(armor(current + _joined([key for key in of_packages if key not in keys])), current)


def armor(binary: bytes, what: str = "PUBLIC KEY BLOCK") -> bytes:
    """Write keys in ASCII armor, or whatever `what` calls by gpg's name."""
    text = base64.b64encode(binary).decode()
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    checksum = base64.b64encode(_crc24(binary).to_bytes(3, "big")).decode()
    begin, end = (f"-----{word} PGP {what}-----" for word in ("BEGIN", "END"))
    return "\n".join([begin, "", *lines, f"={checksum}", end, ""]).encode()


def dearmor(armored: bytes) -> bytes:
    """Read one block of ASCII armor, as gpg writes it."""
    _, _, body = armored.partition(b"\n\n")
    return base64.b64decode(b"".join(body.partition(b"\n=")[0].split()))


def _joined(keys: Sequence[bytes]) -> bytes:
    # Two subkeys of one primary key are exported together, so that its export may be named twice.
    return b"".join(dict.fromkeys(keys))


def _crc24(data: bytes) -> int:
    crc = _CRC24_START
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC24_POLYNOMIAL
    return crc
