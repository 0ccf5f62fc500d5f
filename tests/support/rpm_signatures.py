"""Signs rpms as others do: under any tags, with any keys."""

import base64
import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

from packrat_core.packages.rpm.header import LEAD_BYTES, RpmFile, walk
from packrat_demo.build_rpm import Rpm, Value, write_header, write_rpm
from support.keys import Key

RSA, DSA, OPENPGP, PGP_OF_BOTH, GPG_OF_BOTH = 268, 267, 278, 1002, 1005
"""Tags of the signature header; the last two hold signatures of header and payload together."""


def sha256_of(rpm: Path) -> str:
    return hashlib.sha256(rpm.read_bytes()).hexdigest()


def read(rpm: Path) -> RpmFile:
    with rpm.open("rb") as file:
        return walk(file)


def with_signatures(rpm: Path, made: Mapping[int, tuple[Key, ...]]) -> None:
    """Sign an unsigned package with these keys under these tags, by a writer of the tests' own."""
    front, data = read(rpm), rpm.read_bytes()
    values: dict[int, tuple[int, Value]] = {
        tag: (item.kind, front.signature.text(tag) or front.signature.binary(tag) or front.signature.numbers(tag))
        for tag, item in front.signature.items.items()
    }
    for tag, keys in made.items():
        signed = front.header.blob if tag < PGP_OF_BOTH else data[front.start :]
        signatures = [_sign(key, signed) for key in keys]
        if tag == OPENPGP:
            values[tag] = (8, tuple(base64.b64encode(signature).decode() for signature in signatures))
        else:
            values[tag] = (7, signatures[0])
    header = write_header(values, 62)
    rpm.write_bytes(data[:LEAD_BYTES] + header + bytes(-len(header) % 8) + data[front.start :])


def write_signed_rpm(rpm: Rpm, directory: Path, vendor: Key) -> Path:
    """Build a package that its vendor signed for every version of rpm."""
    path = write_rpm(rpm, directory)
    with_signatures(path, {RSA: (vendor,), OPENPGP: (vendor,)})
    return path


def _sign(key: Key, data: bytes) -> bytes:
    gpg = ["gpg", "--homedir", str(key.home), "--batch", "--digest-algo", "SHA256", "--detach-sign"]
    return subprocess.run(gpg, input=data, check=True, capture_output=True).stdout
