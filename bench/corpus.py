"""Makes many small, valid package files of each type, quickly and always the same.

Some packages are there from the start, others are added later.

Source: deb(5), deb-control(5), POSIX.1 ustar.
"""

import hashlib
import json
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from pathlib import Path

from packrat_demo.build_image import Image, build_oci
from packrat_demo.build_rpm import Rpm, build_rpm
from packrat_demo.build_wheel import Python, build_wheel

_SYLLABLES = [
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
]
_WORDS = ("index", "mirror", "stream", "archive", "signal", "kernel", "vector", "parser", "socket", "buffer", "queue")
_MOMENT = 1_700_000_000
_BLOCK = 512
_SMALL_BYTES = 6 * 1024
"""Random bytes in each small package: with its control file a .deb of about 7 KiB."""
_REAL_MEDIAN_BYTES, _REAL_SPREAD, _REAL_MOST_BYTES = 80_000, 1.9, 30_000_000
"""Real sizes: a log-normal spread as that of Debian's packages, with a mean of about half a megabyte."""
_OF_A_PROJECT = 5


@dataclass(frozen=True, slots=True)
class Package:
    """One package file on disk; `name` is that of the package, as the server has it. Several files may share one."""

    name: str
    version: str
    architecture: str
    path: Path
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """The packages of one measurement; both kinds lie in directories of their own."""

    kind: str
    packages: tuple[Package, ...]
    extra: tuple[Package, ...]

    @property
    def size(self) -> int:
        """Bytes of the packages that are there from the start."""
        return sum(package.size for package in self.packages)


Built = tuple[str, str, str, str, bytes]
"""Name, version, architecture, file name, content."""


def build_corpus(
    directory: Path,
    count: int,
    extra: int,
    on_progress: Callable[[int], None],
    kind: str = "apt",
    *,
    real_sizes: bool = False,
    file_bytes: int = _SMALL_BYTES,
) -> Corpus:
    """Build `count` packages in `directory`/files and `extra` more in `directory`/extra.

    on_progress: called with how many there are, now and then. real_sizes: sizes as a distribution has them, else all
    have `file_bytes`.
    """
    chance = random.Random(count)
    made: list[Package] = []
    for name, total in (("files", count), ("extra", extra)):
        (directory / name).mkdir(parents=True)
        for _ in range(total):
            size = _draw_size(chance) if real_sizes else file_bytes
            made.append(_write(directory / name, _BUILDERS[kind](len(made), chance, size)))
            if len(made) % 200 == 0:
                on_progress(len(made))
    return Corpus(kind, tuple(made[:count]), tuple(made[count:]))


def _draw_size(chance: random.Random) -> int:
    return min(_REAL_MOST_BYTES, int(chance.lognormvariate(log(_REAL_MEDIAN_BYTES), _REAL_SPREAD)))


def _write(directory: Path, built: Built) -> Package:
    name, version, architecture, file_name, content = built
    path = directory / file_name
    path.write_bytes(content)
    return Package(name, version, architecture, path, hashlib.sha256(content).hexdigest(), len(content))


def _name(number: int, chance: random.Random) -> str:
    # The number keeps names apart; the syllables before it spread them over the pool's directories.
    return f"{''.join(chance.choices(_SYLLABLES, k=3))}-{chance.choice(_WORDS)}{number}"


def _build_deb(number: int, chance: random.Random, size: int) -> Built:
    name = _name(number, chance)
    version = f"{chance.randrange(9)}.{chance.randrange(30)}.{chance.randrange(10)}-{chance.randrange(1, 5)}"
    architecture = "all" if number % 10 == 9 else "amd64"
    control = _write_control(name, version, architecture, chance)
    data = _tar(f"./usr/share/{name}/data", chance.randbytes(size))
    content = b"!<arch>\n" + b"".join(
        (
            _member("debian-binary", b"2.0\n"),
            _member("control.tar.gz", _gzip(_tar("./control", control))),
            _member("data.tar.gz", _gzip(data)),
        )
    )
    return name, version, architecture, f"{name}_{version}_{architecture}.deb", content


def _build_rpm(number: int, chance: random.Random, size: int) -> Built:
    name, version = _name(number, chance), f"{chance.randrange(9)}.{chance.randrange(30)}"
    requires = tuple((f"{chance.choice(_WORDS)}{at}", "") for at in range(8))
    rpm = Rpm(name, version, "x86_64", requires=requires, files=((f"/opt/{name}/data", chance.randbytes(size)),))
    return name, f"{version}-1", "x86_64", rpm.file_name, build_rpm(rpm)


def _build_wheel(number: int, chance: random.Random, size: int) -> Built:
    # Five versions of each project.
    project, version = f"bench_{number // _OF_A_PROJECT}", f"1.{number % _OF_A_PROJECT}"
    data = f"DATA = {chance.randbytes(size // 2).hex()!r}\n".encode()
    python = Python(project, version, files=((f"{project}.py", data),))
    return project, version, "all", python.wheel_name, build_wheel(python)


def _build_image(number: int, chance: random.Random, size: int) -> Built:
    # Tags of one image over a common layer.
    version = f"1.{number}"
    image = Image("bench", version, ((("base", b"base\n" * 1000),), (("data", chance.randbytes(size)),)))
    return "bench", version, "all", image.file_name, build_oci(image)


def _build_file(number: int, chance: random.Random, size: int) -> Built:
    name, version = _name(number, chance), f"{chance.randrange(9)}.{chance.randrange(30)}"
    content = json.dumps({"data": chance.randbytes(size // 2).hex()}).encode() + b"\n"
    return name, version, "all", f"{name}_{version}.json", content


_BUILDERS: Mapping[str, Callable[[int, random.Random, int], Built]] = {
    "apt": _build_deb,
    "yum": _build_rpm,
    "pypi": _build_wheel,
    "docker": _build_image,
    "json": _build_file,
}


def _write_control(name: str, version: str, architecture: str, chance: random.Random) -> bytes:
    # Recommends, so that a real apt can install one of them.
    recommends = ", ".join(
        f"{''.join(chance.choices(_SYLLABLES, k=2))}-{chance.choice(_WORDS)} (>= {chance.randrange(9)}.{number})"
        for number in range(8)
    )
    text = "\n".join(f" {' '.join(chance.choices(_WORDS, k=9))}" for _ in range(6))
    return (
        f"Package: {name}\nSource: {name.partition('-')[0]}\nVersion: {version}\nArchitecture: {architecture}\n"
        f"Maintainer: Benchmark <bench@example.com>\nInstalled-Size: 6\nRecommends: {recommends}\n"
        f"Section: misc\nPriority: optional\nHomepage: https://example.com/{name}\n"
        f"Description: package {name} of the benchmark's corpus\n{text}\n"
    ).encode()


def _tar(name: str, content: bytes) -> bytes:
    """An archive with one file, and with all directories above it."""
    parts = name.split("/")[:-1]
    above = [_tar_header(f"{'/'.join(parts[:at])}/", b"5", 0o755, 0) for at in range(1, len(parts) + 1)]
    padding = b"\0" * (-len(content) % _BLOCK)
    return b"".join((*above, _tar_header(name, b"0", 0o644, len(content)), content, padding, b"\0" * (2 * _BLOCK)))


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
