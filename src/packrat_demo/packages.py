"""The samples that the demo uploads: of every type something to install, to promote, and to leave unpromoted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from packrat_demo.build_deb import Deb, write_deb
from packrat_demo.build_image import Image, build_oci
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.build_wheel import Python, write_sdist, write_wheel
from packrat_server.client.uploader import Uploader

_SCRIPT = b"#!/bin/sh\necho 'Hello from a packrat mirror.'\n"
_GUIDE = b"Tag a package on the server and it is here seconds later.\n"

Build = Callable[[Path], Path]
"""Writes a package file into a directory and gives its path."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A package file to build, the distribution versions that it goes to, and the tags that it gets."""

    build: Build
    distro_versions: tuple[str, ...]
    tags: tuple[str, ...] = ("dev",)


def _deb(deb: Deb) -> Build:
    return lambda directory: write_deb(deb, directory)


def _rpm(version: str, arch: str = "noarch") -> Build:
    files = (("/usr/bin/packrat-hello", _SCRIPT),)
    return lambda directory: write_rpm(Rpm("packrat-hello", version, arch, files=files), directory)


def _hello(version: str, architecture: str) -> Deb:
    return Deb(
        "packrat-hello",
        version,
        architecture,
        (("Depends", "packrat-guide"), ("Description", "greets from the mirror")),
        (("/usr/bin/packrat-hello", _SCRIPT), ("/usr/share/doc/packrat-hello/version", version.encode())),
        "zst" if version == "1.1-1" else "xz",
    )


_PYTHON = Python("Packrat-Hello", "1.0", files=(("packrat_hello.py", b"print('Hello from a packrat mirror.')\n"),))


def _image(version: str) -> Build:
    def write(directory: Path) -> Path:
        layers = (((("hello", _SCRIPT),)), ((("version", version.encode()),)))
        images = [Image("packrat-hello", version, layers, architecture) for architecture in ("amd64", "arm64")]
        path = directory / images[0].file_name
        path.write_bytes(build_oci(*images))
        return path

    return write


def _note(version: str) -> Build:
    def write(directory: Path) -> Path:
        path = directory / f"packrat-notes_{version}.txt"
        path.write_bytes(_GUIDE + version.encode() + b"\n")
        return path

    return write


_GUIDE_DEB = Deb("packrat-guide", "2.0", "all", (), (("/usr/share/doc/packrat-guide/README", _GUIDE),))
_ALL_TAGS = ("dev", "stage", "prod")

APT = (
    Sample(_deb(_GUIDE_DEB), ("bookworm", "trixie"), _ALL_TAGS),
    Sample(_deb(_hello("1.0-1", "amd64")), ("bookworm",)),
    Sample(_deb(_hello("1.1-1", "amd64")), ("bookworm",)),
    Sample(_deb(_hello("1.1-1", "arm64")), ("bookworm",)),
    Sample(
        _deb(Deb("packrat-hello", "1.2-1~trixie", "amd64", (), (("/usr/bin/packrat-hello", _SCRIPT),))), ("trixie",)
    ),
)
YUM = (
    Sample(_rpm("1.0"), ("rhel9",)),
    Sample(_rpm("1.1"), ("rhel9",)),
    Sample(_rpm("1.1", "x86_64"), ("sles15",)),
)
PYPI = (
    Sample(lambda directory: write_wheel(_PYTHON, directory), ("pypi",)),
    Sample(lambda directory: write_sdist(_PYTHON, directory), ("pypi",)),
)
DOCKER = (Sample(_image("1.0"), ("docker",)), Sample(_image("1.1"), ("docker",)))
JSON = (Sample(_note("1.0"), ("resource",)), Sample(_note("1.1"), ("resource",)))

NEXT = Deb("packrat-surprise", "1.0", "all", (), (("/usr/share/doc/packrat-surprise/README", b"Here I am.\n"),))
"""The package that is left for the reader to upload."""


async def upload_samples(uploader: Uploader, directory: Path, samples: Iterable[Sample]) -> int:
    """Upload and tag the samples; those that the server has stay as they are.

    Args:
        uploader: A session on the server.
        directory: Where the package files are built.
        samples: What to build and upload.

    Returns:
        The number of new package files.
    """
    count = 0
    for sample in samples:
        path = sample.build(directory)
        if await uploader.find(path.name):
            continue
        for uri in await uploader.upload(path, sample.distro_versions, "to try out a mirror", "built by the demo"):
            for tag in sample.tags:
                await uploader.tag(uri, tag, "DEMO-1" if tag == "prod" else None)
            count += 1
    return count
