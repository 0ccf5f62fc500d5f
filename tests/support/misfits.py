"""Package files that do not fit their repository: of another type, torn, or made to harm."""

import gzip
import io
import struct
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from packrat_core.packages.deb.control import CONTROL_ARCHIVE_LIMIT
from packrat_demo.build_image import Image, build_classic
from packrat_demo.build_wheel import Python, build_sdist, pack_zip, sdist_files, write_metadata
from support.kinds import APT, DOCKER, PYPI, YUM, Kind

_BOMB = bytes(64 * 2**20)
"""More than any list or metadata may have."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """One such file: `taken` is what the server looks into, `given` what it hands out (None: the same)."""

    file_name: str
    taken: bytes
    given: bytes | None
    uploaded_for: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Misfits:
    """Those of one type; `suites`: the distribution versions that its repository has to have for them."""

    files: tuple[Misfit, ...]
    suites: tuple[str, ...] = ()


def _foreign(kind: Kind, reason: str) -> Misfit:
    file_name, data = kind.build("stranger", "1.0", kind.arches[0], b"")
    return Misfit(file_name, data, None, kind.uploaded_for, reason)


def _forged(kind: Kind, name: str, given: bytes, reason: str) -> Misfit:
    file_name, data = kind.build(name, "1.0", kind.arches[0], b"")
    return Misfit(file_name, data, given, kind.uploaded_for, reason)


def _torn(kind: Kind) -> Misfit:
    _, data = kind.build("torn", "1.0", kind.arches[0], b"x" * 5000)
    return _forged(kind, "torn", data[: len(data) * 2 // 3], "damaged|cut off|neither a zip")


def _other_bytes(kind: Kind, other: Kind, reason: str) -> Misfit:
    """A package of another type under a name of this one."""
    return _forged(kind, "masked", other.build("masked", "1.0", other.arches[0], b"")[1], reason)


def _ar(*members: tuple[str, bytes]) -> bytes:
    made = b"!<arch>\n"
    for name, data in members:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{0o100644:<8o}{len(data):<10}`\n"
        made += header.encode() + data + b"\n" * (len(data) % 2)
    return made


def _deb(control_archive: bytes) -> bytes:
    return _ar(("debian-binary", b"2.0\n"), ("control.tar.gz", gzip.compress(control_archive)), ("data.tar.gz", b""))


def _tar(*members: tuple[str, bytes, bytes, str]) -> bytes:
    """Make a tar file of (name, kind, content, target of a link)."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, kind, data, target in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, target, len(data)
            archive.addfile(entry, io.BytesIO(data))
    return output.getvalue()


_CONTROL = b"Package: hostile\nVersion: 1.0\nArchitecture: amd64\nDescription: x\n"


def _control(more: bytes = b"") -> bytes:
    return _tar(("control", tarfile.REGTYPE, _CONTROL + more, ""))


def _debs() -> Misfits:
    return Misfits(
        (
            _foreign(YUM, "can't be in an apt repository"),
            _torn(APT),
            _other_bytes(APT, YUM, "not a .deb|ar archive|magic"),
            _forged(APT, "bomb", _deb(_control() + bytes(CONTROL_ARCHIVE_LIMIT + 1)), "unpacks to more than"),
            _forged(
                APT,
                "outside",
                _deb(_tar(("../control", tarfile.REGTYPE, _CONTROL, ""))),
                "no file called control|leads out of its directory",
            ),
            _forged(APT, "device", _deb(_tar(("control", tarfile.CHRTYPE, b"", ""))), "link or device"),
            _forged(APT, "link", _deb(_tar(("control", tarfile.SYMTYPE, b"", "/etc/passwd"))), "link or device"),
            _forged(APT, "dataless", _deb(_control()).partition(b"data.tar")[0], "it has no data archive"),
            _forged(APT, "followed", _deb(_control()) + b"\0" * 512, "behind its member 'data.tar.gz'"),
            _forged(APT, "related", _deb(_control(b"Depends: a (= )\n")), "a Depends that stops apt on every client"),
            _forged(APT, "provided", _deb(_control(b"Provides:\n")), "a Provides that stops apt on every client"),
            _forged(APT, "talkative", _deb(_control(b" long\n" * 200_000)), "stops apt on every client: the limit"),
        ),
        YUM.uploaded_for,
    )


def _rpms() -> Misfits:
    _, rpm = YUM.build("bomb", "1.0", "x86_64", b"")
    # The index of the first header says that four thousand million values follow.
    endless = rpm[:104] + struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF) + rpm[112:]
    return Misfits(
        (
            _foreign(APT, "can't be in a yum repository"),
            _torn(YUM),
            _other_bytes(YUM, APT, "lead is missing"),
            _forged(YUM, "endless", endless, "limit"),
            _forged(YUM, "renamed", rpm, "its header says bomb"),
        ),
        APT.uploaded_for,
    )


def _sdist(name: str, *extra: tuple[str, bytes, bytes, str]) -> bytes:
    python = Python(name, "1.0", ())
    members = [(path, tarfile.REGTYPE, data, "") for path, data in sdist_files(python)]
    return gzip.compress(_tar(*members, *extra))


def _forged_sdist(name: str, reason: str, *extra: tuple[str, bytes, bytes, str]) -> Misfit:
    python = Python(name, "1.0", ())
    return Misfit(python.sdist_name, build_sdist(python), _sdist(name, *extra), ("pypi",), reason)


def _distributions() -> Misfits:
    bomb = Python("bomb", "1.0", ())
    info = f"{bomb.stem}.dist-info/METADATA"
    return Misfits(
        (
            _foreign(APT, "can't be in a pypi repository"),
            _torn(PYPI),
            _other_bytes(PYPI, DOCKER, "neither a zip archive"),
            _forged(PYPI, "bomb", pack_zip([(info, write_metadata(bomb) + _BOMB)]), "limit|bomb"),
            _forged_sdist("outside", "leads out", ("outside-1.0/../../x", tarfile.REGTYPE, b"x", "")),
            _forged_sdist("absolute", "absolute", ("/etc/x", tarfile.REGTYPE, b"x", "")),
            _forged_sdist("device", "device", ("device-1.0/null", tarfile.CHRTYPE, b"", "")),
            _forged_sdist("link", "absolute", ("link-1.0/x", tarfile.SYMTYPE, b"", "/etc/passwd")),
            _forged_sdist("unpacks", "bomb", ("unpacks-1.0/zeros", tarfile.REGTYPE, bytes(400 * 2**20), "")),
        ),
        APT.uploaded_for,
    )


def _image(name: str, *extra: tuple[str, bytes, bytes, str]) -> bytes:
    return _tar(*extra)[:-1024].rstrip(b"\0").ljust(512 * len(extra), b"\0") + build_classic(Image(name, "1.0"))


def _images() -> Misfits:
    huge = _tar(("manifest.json", tarfile.REGTYPE, _BOMB, ""))
    return Misfits(
        (
            _foreign(APT, "can't be in a docker repository"),
            _torn(DOCKER),
            _other_bytes(DOCKER, PYPI, "not a tar file"),
            _forged(DOCKER, "huge", huge, "limit"),
            _forged(DOCKER, "outside", _image("outside", ("../x", tarfile.REGTYPE, b"", "")), "leads out"),
            _forged(DOCKER, "absolute", _image("absolute", ("/etc/x", tarfile.REGTYPE, b"", "")), "absolute"),
            _forged(DOCKER, "device", _image("device", ("x", tarfile.BLKTYPE, b"", "")), "block device"),
            _forged(DOCKER, "link", _image("link", ("x", tarfile.SYMTYPE, b"", "../../y")), "leads out"),
        ),
        APT.uploaded_for,
    )


def _files() -> Misfits:
    untracked = tuple(_foreign(kind, f"repository of type {kind.name}") for kind in (APT, YUM, PYPI, DOCKER))
    taken = Misfit(
        "SHA256SUMS_1.0.json", b"mine", None, (), "can't be called SHA256SUMS|file or directory of that name"
    )
    suites = tuple(suite for kind in (APT, YUM, PYPI, DOCKER) for suite in kind.uploaded_for)
    return Misfits((*untracked, taken), suites)


MISFITS: Mapping[str, Callable[[], Misfits]] = {
    "apt": _debs,
    "yum": _rpms,
    "pypi": _distributions,
    "docker": _images,
    "json": _files,
}
