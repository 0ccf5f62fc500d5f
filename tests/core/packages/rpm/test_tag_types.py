"""A value of a type that rpm can't read under its tag is refused, and no other; the real rpm is the judge."""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import LEAD_BYTES, walk
from packrat_demo.build_rpm import Rpm, Value, build_rpm, write_header

GOOD = build_rpm(Rpm("x", "1", "noarch"))
NEEDED = {1000: (6, "x"), 1001: (6, "1"), 1002: (6, "1"), 1021: (6, "linux"), 1022: (6, "noarch")}
VALUES: dict[int, Value] = {3: (1,), 4: (1,), 6: "x", 7: b"x", 8: ("x",), 9: ("x",)}
NEAR_KNOWN = (*range(100, 105), *range(255, 285), *range(1000, 1200), *range(5000, 5130))


def package(tag: int, kind: int) -> bytes:
    """A package of the tags that rpm needs and one more, with right digests."""
    header = write_header(NEEDED | {tag: (kind, VALUES[kind])}, 63)
    md5 = hashlib.md5(header, usedforsecurity=False).digest()
    signature = write_header({273: (6, hashlib.sha256(header).hexdigest()), 1004: (7, md5)}, 62)
    return GOOD[:LEAD_BYTES] + signature + bytes(-len(signature) % 8) + header


def refused_by_rpm(directory: Path, names: list[str]) -> Iterator[str]:
    """Which of the packages rpm can't read."""
    command = ["rpm", "-qp", "--nosignature", "--nodigest", *names]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=60)
    for line in done.stderr.splitlines():
        if line.endswith(": not an rpm package (or package manifest)"):
            yield line.split(": ")[1]


def refused_by_us(directory: Path, names: list[str]) -> Iterator[str]:
    for name in names:
        try:
            with (directory / name).open("rb") as file:
                walk(file)
        except Refused:
            yield name


def test_rpm_and_ours_agree_on_the_types_of_tags(tmp_path: Path) -> None:
    names = []
    for tag in NEAR_KNOWN:
        for kind in VALUES:
            names.append(f"{tag}-{kind}.rpm")
            (tmp_path / names[-1]).write_bytes(package(tag, kind))
    by_rpm = set(refused_by_rpm(tmp_path, names))
    assert len(by_rpm) > 700
    assert set(refused_by_us(tmp_path, names)) == by_rpm
