"""Holds the digests that an rpm must have against `rpmkeys --checksig`, which no client of rpm goes without."""

import hashlib
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from packrat_agent.formats.yum.read_rpm import read_rpm
from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import LEAD_BYTES, Header, walk
from packrat_core.packages.rpm.payload import check_payload
from packrat_demo.build_rpm import Rpm, Tags, Value, build_rpm, write_header

STRING, BINARY, STRINGS, I18N = 6, 7, 8, 9
MD5, SHA1, SHA256, SHA3_256 = 1004, 269, 273, 279
PAYLOAD_SHA256, ALGORITHM, PAYLOAD_ALT, PAYLOAD_SHA512, PAYLOAD_SHA3_256 = 5092, 5093, 5097, 5121, 5123
GOOD = build_rpm(Rpm("digests", "1.0", "noarch", files=(("/opt/digests/data", b"data\n" * 200),)))

Change = Callable[[Tags], object]


def values_of(header: Header) -> Tags:
    values: Tags = {}
    for tag, item in header.items.items():
        texts = tuple(text.decode() for text in header.texts(tag))
        value: Value = texts if item.kind == STRINGS else texts[0] if texts else header.numbers(tag)
        values[tag] = (item.kind, (header.binary(tag) or b"") if item.kind == BINARY else value)
    return values


def rebuilt(path: Path, in_header: Change, in_signature: Change) -> Path:
    """Write GOOD with other digests: the header's own are rebuilt before the signature header is changed."""
    path.write_bytes(GOOD)
    with path.open("rb") as file:
        front = walk(file)
    payload, values = GOOD[front.end :], values_of(front.header)
    in_header(values)
    header = write_header(dict(sorted(values.items())), 63)
    signature = values_of(front.signature) | {
        SHA1: (STRING, hashlib.sha1(header, usedforsecurity=False).hexdigest()),
        SHA256: (STRING, hashlib.sha256(header).hexdigest()),
        1000: (4, len(header) + len(payload)),
        MD5: (BINARY, hashlib.md5(header + payload, usedforsecurity=False).digest()),
    }
    in_signature(signature)
    packed = write_header(dict(sorted(signature.items())), 62)
    path.write_bytes(GOOD[:LEAD_BYTES] + packed + bytes(-len(packed) % 8) + header + payload)
    return path


def why_refused(path: Path) -> str:
    try:
        with path.open("rb") as file:
            check_payload(file)
    except Refused as error:
        return str(error)
    return ""


def does_rpm_take(path: Path) -> bool:
    return subprocess.run(["rpmkeys", "--checksig", path], capture_output=True, check=False).returncode == 0


def without(*tags: int) -> Change:
    return lambda values: [values.pop(tag, None) for tag in tags]


def with_value(tag: int, kind: int, change: Callable[[str], Value]) -> Change:
    """Put a changed digest in the place of the one that is there."""

    def put(values: Tags) -> None:
        value = values[tag][1]
        text = value.hex() if isinstance(value, bytes) else value[0] if isinstance(value, tuple) else value
        values[tag] = (kind, change(str(text)))

    return put


def alone(text: str) -> tuple[str]:
    return (text,)


def test_rpm_and_ours_agree_on_which_digests_there_must_be(tmp_path: Path) -> None:
    seen = set()
    for of_header, of_payload in product(
        [(), (SHA1,), (SHA256,), (SHA1, SHA256), (MD5,), (MD5, SHA1, SHA256)], [(), (PAYLOAD_SHA256,)]
    ):
        path = rebuilt(
            tmp_path / "x.rpm",
            without(*{PAYLOAD_SHA256, ALGORITHM}.difference(of_payload)),
            without(*{MD5, SHA1, SHA256}.difference(of_header)),
        )
        reason = why_refused(path)
        assert (not reason) == does_rpm_take(path), (of_header, of_payload, reason)
        assert not reason or "has no digest that every rpm knows" in reason
        if reason:
            assert ("its payload has" in reason) == bool({SHA1, SHA256}.intersection(of_header))
            # A mirror without a key reads no payload, but must not publish such a package either.
            with pytest.raises(Refused, match="has no digest that every rpm knows"):
                read_rpm(path)
        seen.add(reason)
    assert len(seen) == 3


NOTHING: Change = without()


@pytest.mark.parametrize(
    ("in_header", "in_signature", "is_taken"),
    [
        (NOTHING, NOTHING, True),
        (NOTHING, with_value(SHA256, STRING, str.upper), True),
        (NOTHING, with_value(SHA1, STRING, str.upper), True),
        (NOTHING, with_value(SHA256, STRING, lambda text: text[:-2]), False),
        (NOTHING, with_value(SHA256, STRING, lambda text: f"{text}00"), False),
        (NOTHING, with_value(SHA256, STRING, lambda text: ""), False),
        (NOTHING, with_value(SHA256, BINARY, bytes.fromhex), False),
        (NOTHING, with_value(SHA256, STRINGS, alone), False),
        (NOTHING, with_value(SHA256, I18N, str), False),
        (NOTHING, with_value(MD5, BINARY, lambda text: bytes.fromhex(text)[:8]), False),
        (NOTHING, with_value(MD5, STRING, str), False),
        (with_value(PAYLOAD_SHA256, STRINGS, lambda text: (text.upper(),)), NOTHING, True),
        (with_value(PAYLOAD_SHA256, STRINGS, lambda text: (text, "0" * 64)), NOTHING, True),
        (with_value(PAYLOAD_SHA256, STRING, str), NOTHING, False),
        (with_value(PAYLOAD_SHA256, I18N, str), NOTHING, False),
        (with_value(PAYLOAD_SHA256, BINARY, bytes.fromhex), NOTHING, False),
        (with_value(PAYLOAD_SHA256, STRINGS, lambda text: ("",)), NOTHING, False),
        # Every rpm takes the value for a SHA-256, whatever is said of its algorithm.
        (lambda values: values.update({ALGORITHM: (4, 10)}), NOTHING, True),
        (with_value(PAYLOAD_SHA256, STRINGS, lambda text: (text * 2,)), NOTHING, False),
        (lambda values: values.update({PAYLOAD_ALT: (STRINGS, ("0" * 64,))}), NOTHING, True),
        (
            lambda values: values.update({PAYLOAD_ALT: (STRINGS, ("0" * 64,))}) or values.pop(PAYLOAD_SHA256),
            NOTHING,
            False,
        ),
    ],
)
def test_rpm_and_ours_agree_on_how_digests_are_written(
    tmp_path: Path, in_header: Change, in_signature: Change, is_taken: bool
) -> None:
    path = rebuilt(tmp_path / "x.rpm", in_header, in_signature)
    assert does_rpm_take(path) == is_taken
    reason = why_refused(path)
    assert (not reason) == is_taken, reason


@pytest.mark.parametrize(
    ("in_header", "in_signature"),
    [
        (lambda values: values.update({PAYLOAD_SHA512: (STRING, "0" * 128)}), NOTHING),
        (lambda values: values.update({PAYLOAD_SHA3_256: (STRING, "0" * 64)}), NOTHING),
        (NOTHING, lambda values: values.update({SHA3_256: (STRING, "0" * 64)})),
    ],
)
def test_wrong_digests_that_only_newer_versions_of_rpm_know_are_refused(
    tmp_path: Path, in_header: Change, in_signature: Change
) -> None:
    path = rebuilt(tmp_path / "x.rpm", in_header, in_signature)
    assert "damaged: the SHA" in why_refused(path)


def test_the_digests_of_format_6_are_taken(tmp_path: Path) -> None:
    """Such packages have no MD5 and no SHA-1, and digests of the payload by two more algorithms."""
    path = tmp_path / "x.rpm"
    path.write_bytes(GOOD)
    with path.open("rb") as file:
        payload = GOOD[walk(file).end :]

    def in_header(values: Tags) -> None:
        values[PAYLOAD_SHA512] = (STRING, hashlib.sha512(payload).hexdigest())
        values[PAYLOAD_SHA3_256] = (STRING, hashlib.sha3_256(payload).hexdigest())

    rebuilt(path, in_header, without(MD5, SHA1))
    assert does_rpm_take(path)
    assert why_refused(path) == ""
    assert read_rpm(path).name == "digests"
