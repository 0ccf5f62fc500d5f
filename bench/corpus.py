"""Makes many small, valid .debs, quickly and always the same.

Some packages are there from the start, others are added later.

Source: deb(5), deb-control(5), POSIX.1 ustar.
"""

import hashlib
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_SYLLABLES = (
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ha",
    "ke",
    "li",
    "mo",
    "nu",
    "pa",
    "re",
    "si",
    "to",
    "vu",
    "zi",
    "qua",
    "sto",
)
_WORDS = ("index", "mirror", "stream", "archive", "signal", "kernel", "vector", "parser", "socket", "buffer", "queue")
_MOMENT = 1_700_000_000
_BLOCK = 512
_DATA_KIB = 6
"""Random bytes in each package: with its control file a .deb of about 7 KiB."""


@dataclass(frozen=True, slots=True)
class Package:
    """One .deb on disk."""

    name: str
    version: str
    architecture: str
    path: Path
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """The packages of one measurement; both kinds lie in directories of their own."""

    packages: tuple[Package, ...]
    extra: tuple[Package, ...]

    @property
    def size(self) -> int:
        """Bytes of the packages that are there from the start."""
        return sum(package.size for package in self.packages)


def build_corpus(directory: Path, count: int, extra: int, on_progress: Callable[[int], None]) -> Corpus:
    """Build `count` packages in `directory`/debs and `extra` more in `directory`/extra.

    on_progress: called with how many there are, now and then.
    """
    chance = random.Random(count)
    made: list[Package] = []
    for name, total in (("debs", count), ("extra", extra)):
        (directory / name).mkdir(parents=True)
        for _ in range(total):
            made.append(_build(directory / name, len(made), chance))
            if len(made) % 200 == 0:
                on_progress(len(made))
    return Corpus(tuple(made[:count]), tuple(made[count:]))


def _build(directory: Path, number: int, chance: random.Random) -> Package:
    # The number keeps names apart; the syllables before it spread them over the pool's directories.
    name = f"{''.join(chance.choices(_SYLLABLES, k=3))}-{chance.choice(_WORDS)}{number}"
    version = f"{chance.randrange(9)}.{chance.randrange(30)}.{chance.randrange(10)}-{chance.randrange(1, 5)}"
    architecture = "all" if number % 10 == 9 else "amd64"
    control = _write_control(name, version, architecture, chance)
    data = _tar("./", f"./usr/share/{name}/data", chance.randbytes(_DATA_KIB * 1024))
    content = b"!<arch>\n" + b"".join(
        (
            _member("debian-binary", b"2.0\n"),
            _member("control.tar.gz", _gzip(_tar("./", "./control", control))),
            _member("data.tar.gz", _gzip(data)),
        )
    )
    path = directory / f"{name}_{version}_{architecture}.deb"
    path.write_bytes(content)
    return Package(name, version, architecture, path, hashlib.sha256(content).hexdigest(), len(content))


def _write_control(name: str, version: str, architecture: str, chance: random.Random) -> bytes:
    depends = ", ".join(
        f"{''.join(chance.choices(_SYLLABLES, k=2))}-{chance.choice(_WORDS)} (>= {chance.randrange(9)}.{number})"
        for number in range(8)
    )
    text = "\n".join(f" {' '.join(chance.choices(_WORDS, k=9))}" for _ in range(6))
    return (
        f"Package: {name}\nSource: {name.partition('-')[0]}\nVersion: {version}\nArchitecture: {architecture}\n"
        f"Maintainer: Benchmark <bench@example.com>\nInstalled-Size: {_DATA_KIB}\nDepends: {depends}\n"
        f"Section: misc\nPriority: optional\nHomepage: https://example.com/{name}\n"
        f"Description: package {name} of the benchmark's corpus\n{text}\n"
    ).encode()


def _tar(directory: str, name: str, content: bytes) -> bytes:
    padding = b"\0" * (-len(content) % _BLOCK)
    return (
        _tar_header(directory, b"5", 0o755, 0)
        + _tar_header(name, b"0", 0o644, len(content))
        + content
        + padding
        + (b"\0" * (2 * _BLOCK))
    )


def _tar_header(name: str, kind: bytes, mode: int, size: int) -> bytes:
    start = b"%-100s%07o\0%07o\0%07o\0%011o\0%011o\0" % (b"", mode, 0, 0, size, _MOMENT)
    start = name.encode().ljust(100, b"\0") + start[100:]
    end = kind + b"\0" * 100 + b"ustar\00000" + b"root".ljust(32, b"\0") * 2 + b"\0" * 183
    checksum = sum(start) + sum(end) + 8 * 32
    return start + b"%06o\0 " % checksum + end


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def _member(name: str, data: bytes) -> bytes:
    header = f"{name:<16}{_MOMENT:<12}{0:<6}{0:<6}{0o100644:<8o}{len(data):<10}`\n"
    return header.encode() + data + b"\n" * (len(data) % 2)
