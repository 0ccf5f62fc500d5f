"""Changes samples at random, but repeatably: the same dice make the same change.

JSON is also changed as a value, so that what comes of it still is JSON; everything else as bytes.
"""

import json
import random
from collections.abc import Sequence
from typing import Any

FILE = "/api/v2/Package/PackageFile"
REPO = "/api/v2/Repo/Repo"
MIRROR = "/api/v2/Repo/Mirror"
DISTRO_VERSION = "/api/v2/Attrib/DistroVersion"

SIZE_LIMIT = 256 * 1024
"""Bytes of a changed sample: what is small takes little time, whatever it says of itself."""

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 10**30, float("nan"), "", "x", "..", ".", "/", "\0", "\n", "\ud800", "\x1b[2J"),
    *("../../../../tmp/x", "/etc/passwd", "a/b/c", "-x", ".x", "x" * 4000, "\u202e", "е", "a" * 64, "A" * 64),
    *([], {}, [[]], {"": None}, ["x"], {"message": "x"}, "/files/../x", "/files/%2e%2e%2fx", "/files/x.deb", "deb"),
    *(f"{FILE}:1:", f"{FILE}:2:", f"{REPO}:apt-dev:", f"{REPO}:..:", f"{MIRROR}:lab:", f"{DISTRO_VERSION}:bookworm:"),
    *("apt", "yum", "docker", "pypi", "json", "apt-dev", "apt-dev/pool", ".packrat-agent", "index.html", "kept"),
]
ODD_BYTES = [
    *(b"0", b"-1", b"9" * 20, b"null", b"[]", b"{}", b'"', b"[" * 3000, b"\xff", b"\r\n", b"\r\n\r\n", b": ", b"\0"),
    *(b"Total: 5\r\n", b"Location: file:///etc/passwd\r\n", b"Transfer-Encoding: chunked\r\n", b"302", b"401", b"404"),
    *(b"Content-Encoding: gzip\r\n", b"Cinp-Version: 9\r\n", b"Content-Range: bytes 10-\r\n", b"HTTP/1.0", b"ffffffff"),
]
# What int() and isdigit() take for digits though they are none, what only some decoders take, and what ends lines.
_ODD_TEXT = ["²", "٣", "1_0", "+1", " 1", "1e9", "0x10", "\u2028", "\x85", "\x1c", "\ufeff", "\udc80", "é", "İ", "%00"]
_ODD_PARTS = [
    *ODD_BYTES,
    *(text.encode("utf-8", "surrogatepass") for text in _ODD_TEXT),
    *(b"\xb2", b"\xc0\x80", b"\n\n", b"\n ", b"\t", b"..", b"../", b"/", b"%", b"{", b"(", b",", b";", b"=", b"=="),
    *(b"1" * 5000, b"A" * 300, b"(" * 1000, b"<" * 100, b"&a;", b"<!DOCTYPE a>", b"<![CDATA[", b"</", b"\\u0000"),
]
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_DIGITS = b"0123456789"


def mutate(dice: random.Random, sample: bytes, others: Sequence[bytes]) -> bytes:
    """Change a sample in a few places.

    Args:
        dice: Decides what is changed, and into what.
        sample: What is changed.
        others: Samples that parts are taken from.

    Returns:
        The changed sample, SIZE_LIMIT bytes at most.
    """
    if sample[:1] in (b"{", b"[") and dice.random() < 0.6 and (changed := _twist_json(dice, sample)) is not None:
        return changed[:SIZE_LIMIT]
    changed_bytes = bytearray(sample)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        _change(dice, changed_bytes, others)
    return bytes(changed_bytes[:SIZE_LIMIT])


def _change(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = dice.randrange(len(data) + 1)
    match dice.randrange(10):
        case number if number < _SPLICES:
            _splice(dice, data, at, number, _ODD_PARTS)
        case 5:
            size = dice.choice((1, 2, 4, 8))
            number = dice.choice(_NUMBERS) % 2 ** (8 * size)
            data[at : at + size] = number.to_bytes(size, dice.choice(("big", "little")))
        case 6 if data:
            data[at % len(data)] ^= 1 << dice.randrange(8)
        case 7:
            _change_a_number(dice, data, at)
        case 8:
            other = dice.choice(others)
            start = dice.randrange(len(other) + 1)
            data[at : at + dice.choice((0, 0, 60, 512))] = other[start : start + dice.choice((10, 60, 512, 4096))]
        case _:
            size = dice.choice((1, 4, 60, 512))
            data[at:at] = data[at : at + size] * dice.choice((1, 2, 30, 300))


_SPLICES = 5
"""Number of ways in which `_splice` changes data."""


def _splice(dice: random.Random, data: bytearray, at: int, way: int, odd: Sequence[bytes]) -> None:
    """Replace a byte at `at`, cut off what follows, leave some out, or put in something odd or a part of the data."""
    match way:
        case 0:
            data[at : at + 1] = dice.randbytes(1)
        case 1:
            del data[at:]
        case 2:
            del data[at : at + dice.randint(1, 60)]
        case 3:
            data[at : at + dice.randint(0, 12)] = dice.choice(odd)
        case _:
            data[at:at] = data[dice.randrange(len(data) + 1) :][:200]


def _change_a_number(dice: random.Random, data: bytearray, at: int) -> None:
    """Replace the decimal number that begins at `at` or behind it by an odd one of the same length, or of any."""
    while at < len(data) and data[at] not in _DIGITS:
        at += 1
    end = at
    while end < len(data) and data[end] in _DIGITS:
        end += 1
    number = str(dice.choice((*_NUMBERS, 10**30)) + dice.randint(-1, 1)).encode()
    match dice.randrange(4):
        case 0 | 1:
            data[at:end] = number[: end - at].rjust(end - at, b"0")
        case 2:
            data[at:end] = number
        case _:
            data[at:end] = dice.choice((b"1" * 5000, b"-", "²".encode(), b"0x1", b"1_1", b"1.5", b"1e5", b""))


def _twist_json(dice: random.Random, sample: bytes) -> bytes | None:
    try:
        value = json.loads(sample)
    except (ValueError, RecursionError):
        return None
    for _ in range(dice.choice((1, 1, 2, 4))):
        value = twist(dice, value)
    return json.dumps(value).encode()


def twist(dice: random.Random, value: Any) -> Any:
    """Change one thing somewhere in a JSON value."""
    if isinstance(value, dict) and value and dice.random() < 0.9:
        changed = dict(value)
        name = dice.choice(list(changed))
        match dice.randrange(5):
            case 0:
                del changed[name]
            case 1:
                changed[str(dice.choice(ODD))] = changed.pop(name)
            case _:
                changed[name] = twist(dice, changed[name])
        return changed
    if isinstance(value, list) and value and dice.random() < 0.8:
        items = list(value)
        at = dice.randrange(len(items))
        match dice.randrange(4):
            case 0:
                items *= dice.choice([0, 2, 50])
            case 1:
                items.insert(at, dice.choice(ODD))
            case _:
                items[at] = twist(dice, items[at])
        return items
    if isinstance(value, str) and value and dice.random() < 0.4:
        at = dice.randrange(len(value) + 1)
        return value[:at] + str(dice.choice(ODD)) + value[at + dice.randrange(3) :]
    return dice.choice(ODD)


def scramble(dice: random.Random, raw: bytes) -> bytes:
    """Change bytes of an answer, leave some out, put some in, end it early."""
    changed = bytearray(raw)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(changed) + 1)
        _splice(dice, changed, at, dice.randrange(_SPLICES), ODD_BYTES)
    return bytes(changed)
