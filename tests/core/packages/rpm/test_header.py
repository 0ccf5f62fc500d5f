"""What rpm refuses of the lead and of the two headers is refused, and nothing else; the real rpm is the judge."""

import hashlib
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import BINARY, HEADER_LIMIT, INT32, LEAD_BYTES, walk
from packrat_demo.build_rpm import Rpm, build_rpm, write_header

GOOD = build_rpm(Rpm("x", "1", "noarch", files=(("/opt/x", b"x"),)))
SIGNATURES, IMMUTABLE, IMAGE = 62, 63, 61


def parts(package: bytes = GOOD) -> tuple[bytes, bytes]:
    """The header and the payload."""
    at = package.index(b"\x8e\xad\xe8\x01", package.index(b"\x8e\xad\xe8\x01") + 1)
    entries, size = struct.unpack_from(">II", package, at + 8)
    end = at + 16 + 16 * entries + size
    return package[at:end], package[end:]


def signed(header: bytes, payload: bytes) -> bytes:
    """A signature header whose digests are right."""
    return write_header(
        {
            273: (6, hashlib.sha256(header).hexdigest()),
            1000: (INT32, len(header) + len(payload)),
            1004: (BINARY, hashlib.md5(header + payload, usedforsecurity=False).digest()),
        },
        SIGNATURES,
    )


def package(header: bytes | None = None, signature: bytes | None = None, lead: bytes = GOOD[:LEAD_BYTES]) -> bytes:
    """GOOD with other headers or another lead."""
    plain, payload = parts()
    header = plain if header is None else header
    signature = signed(header, payload) if signature is None else signature
    return lead + signature + bytes(-len(signature) % 8) + header + payload


def changed(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def with_region(
    header: bytes, first: dict[int, int] | None = None, last: dict[int, int] | None = None, entries: int = 0
) -> bytes:
    """Change numbers of the first entry, and of the end of the region that it names.

    Args:
        header: either header.
        first: which number of the first entry → what it is.
        last: which number of the end of the region → what it is.
        entries: how many more entries the end counts than there are.
    """
    count, size = struct.unpack_from(">II", header, 8)
    end = 16 + 16 * count + size - 16
    for at, numbers in ((16, first or {}), (end, last or {})):
        for number, value in numbers.items():
            header = changed(header, at + 4 * number, struct.pack(">I", value & 0xFFFFFFFF))
    if entries:
        header = changed(header, end + 8, struct.pack(">i", -16 * (count + entries)))
    return header


def refusal(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            walk(file)
    except Refused as error:
        return str(error)
    return None


def does_rpm_read(path: Path) -> bool:
    return subprocess.run(["rpm", "-qp", path], capture_output=True, check=False, timeout=60).returncode == 0


HEADER, PAYLOAD = parts()
SIGNATURE = signed(HEADER, PAYLOAD)
STORE = struct.unpack_from(">I", HEADER, 12)[0]
COUNT = struct.unpack_from(">I", HEADER, 8)[0]
LEAD = GOOD[:LEAD_BYTES]

TAKEN = {
    "as it is": package(),
    "version 4": package(lead=changed(LEAD, 4, b"\4")),
    "any type": package(lead=changed(LEAD, 6, b"\0\x09")),
    "signatures in a region of the old name": package(signature=with_region(SIGNATURE, last={0: IMAGE})),
}
UNKNOWN = "it is damaged, or an .rpm of an unknown format version"
REGION = "header is broken: its region is not marked as it should be"
REFUSED = {
    "another lead": (package(lead=changed(LEAD, 3, b"\xda")), "it is not an .rpm: the lead is missing"),
    "version 2": (package(lead=changed(LEAD, 4, b"\2")), UNKNOWN),
    "version 5": (package(lead=changed(LEAD, 4, b"\5")), UNKNOWN),
    "signatures elsewhere": (package(lead=changed(LEAD, 78, b"\0\6")), UNKNOWN),
    "no signature header": (
        package(signature=changed(SIGNATURE, 3, b"\2")),
        "damaged: its signature header is missing",
    ),
    "no header": (package(changed(HEADER, 3, b"\2")), "damaged: its header is missing"),
    "no entry": (package(changed(HEADER[:16], 8, bytes(8))), "its header has 0 entries"),
    "a region of another type": (package(with_region(HEADER, {1: 6})), REGION),
    "a region of another length": (package(with_region(HEADER, {3: 15})), REGION),
    "a region that ends outside": (package(with_region(HEADER, {2: STORE - 15})), REGION),
    "an end of another name": (package(with_region(HEADER, last={0: SIGNATURES})), REGION),
    "an end of the old name": (package(with_region(HEADER, last={0: IMAGE})), REGION),
    "an end of another type": (package(with_region(HEADER, last={1: 6})), REGION),
    "an end of another length": (package(with_region(HEADER, last={3: 17})), REGION),
    "a part of an entry": (package(with_region(HEADER, last={2: -16 * COUNT + 8})), REGION),
    "an entry too many": (package(with_region(HEADER, entries=1)), REGION),
    "a region the wrong way round": (package(with_region(HEADER, last={2: 16 * COUNT})), REGION),
    "signatures of another name": (package(signature=with_region(SIGNATURE, last={0: IMMUTABLE})), REGION),
}


@pytest.mark.parametrize("name", TAKEN)
def test_headers_that_rpm_reads_are_accepted(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.rpm"
    path.write_bytes(TAKEN[name])
    assert refusal(path) is None
    assert does_rpm_read(path)


@pytest.mark.parametrize("name", REFUSED)
def test_headers_that_rpm_cannot_read_are_refused(name: str, tmp_path: Path) -> None:
    data, told = REFUSED[name]
    path = tmp_path / "x.rpm"
    path.write_bytes(data)
    assert told in str(refusal(path))
    assert not does_rpm_read(path)


# Tag, which number of its entry, and what is there in its place.
ENTRIES = {
    "an odd place for numbers of four bytes": (5093, 2, lambda at: at - 2),
    "a place too far to the front": (1048, 2, lambda at: at - 1),
    "texts that begin later": (1005, 2, lambda at: at + 1),
    "a text fewer": (1049, 3, lambda count: count - 1),
    "a number fewer": (1048, 3, lambda count: count - 1),
    "a type that there is not": (1064, 1, lambda _: 0),
    "a later type that there is not": (1064, 1, lambda _: 10),
    "a negative tag": (1126, 0, lambda _: 0xFFFFFFFF),
    "a tag before all others": (100, 0, lambda _: 99),
}


def with_entry(tag: int, number: int, change: Callable[[int], int]) -> bytes:
    """Change a number of an entry of the header."""
    at = next(at for at in range(16, 16 + 16 * COUNT, 16) if struct.unpack_from(">I", HEADER, at)[0] == tag)
    (value,) = struct.unpack_from(">I", HEADER, at + 4 * number)
    return changed(HEADER, at + 4 * number, struct.pack(">I", change(value)))


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_that_rpm_cannot_read_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.rpm"
    path.write_bytes(package(with_entry(*ENTRIES[name])))
    assert "its header is broken" in str(refusal(path))
    assert not does_rpm_read(path)


@pytest.mark.parametrize("behind", [b"\0", b"x", b"x\0", bytes(8)])
def test_bytes_that_belong_to_no_entry_are_refused(behind: bytes, tmp_path: Path) -> None:
    """Before the end of the region."""
    path = tmp_path / "x.rpm"
    for header, signature in ((padded(HEADER, behind), None), (HEADER, padded(SIGNATURE, behind))):
        path.write_bytes(package(header, signature))
        assert "header is broken: its values fill" in str(refusal(path))
        assert not does_rpm_read(path)


def padded(header: bytes, behind: bytes) -> bytes:
    """A header with more bytes before the end of its region, or of its store."""
    count, size = struct.unpack_from(">II", header, 8)
    end = 16 + 16 * count + size - 16
    longer = changed(header[:end] + behind + header[end:], 12, struct.pack(">I", size + len(behind)))
    return changed(longer, 24, struct.pack(">I", size - 16 + len(behind)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_rpm_reads_each_changed_header_that_we_accept(tmp_path: Path, choice: st.DataObject) -> None:
    header = bytearray(HEADER)
    for _ in range(choice.draw(st.integers(1, 2))):
        at = 16 + 16 * choice.draw(st.integers(1, COUNT - 1)) + 4 * choice.draw(st.integers(2, 3))
        (value,) = struct.unpack_from(">I", header, at)
        step = choice.draw(st.sampled_from([-8, -4, -2, -1, 1, 2, 4, 8]))
        header[at : at + 4] = struct.pack(">I", max(0, value + step))
    path = tmp_path / "x.rpm"
    path.write_bytes(package(bytes(header)))
    assert refusal(path) is not None or does_rpm_read(path)


@pytest.mark.parametrize("size", range(4, LEAD_BYTES, 13))
def test_a_torn_lead_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "x.rpm"
    path.write_bytes(LEAD[:size])
    assert refusal(path) == UNKNOWN


def test_the_largest_store_that_is_read(tmp_path: Path) -> None:
    """A larger one is not even read: it may be of gigabytes that a sparse file has and the memory has not."""
    path = tmp_path / "x.rpm"
    for size, told in ((HEADER_LIMIT, None), (HEADER_LIMIT + 1, f"has {HEADER_LIMIT + 1} bytes, the limit is")):
        intro = SIGNATURE[:8] + struct.pack(">II", 1, size) + struct.pack(">IIII", 1500, BINARY, 0, size)
        with path.open("wb") as file:
            file.write(LEAD + intro)
            file.seek(size, 1)
            file.write(bytes(-(len(intro) + size) % 8) + HEADER)
        reason = refusal(path)
        assert reason is None if told is None else told in str(reason)


@pytest.mark.parametrize(("entries", "is_read"), [(10_000, True), (10_001, False)])
def test_the_most_entries_that_are_read(entries: int, is_read: bool, tmp_path: Path) -> None:
    header = write_header({10_000 + number: (INT32, number) for number in range(entries - 1)}, IMMUTABLE)
    path = tmp_path / "x.rpm"
    path.write_bytes(package(header))
    assert refusal(path) == (None if is_read else f"its header has {entries} entries, the limit is 10000")
