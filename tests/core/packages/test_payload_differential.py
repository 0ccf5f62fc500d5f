"""Holds what the server refuses of a payload against dpkg-deb, rpm and Python's zipfile, gzip and tarfile."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from backports import zstd

from packrat_core.errors import Refused
from packrat_core.packages.deb.payload import check_payload as check_deb
from packrat_core.packages.image.payload import check_payload as check_image
from packrat_core.packages.python.payload import check_payload as check_python
from packrat_core.packages.rpm.payload import check_payload as check_rpm
from packrat_demo.build_image import Image, build_classic, build_oci
from packrat_demo.build_image import tar as image_tar
from packrat_demo.build_rpm import Rpm, build_rpm
from support.apt_packages import ar, tar

PLAIN = tar(*((f"./f{number}", bytes([number]) * 3000 + b"hello" * 100) for number in range(3)))
CONTROL = ("control.tar", tar(("./control", b"Package: x\nVersion: 1\nArchitecture: amd64\n")))
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
    ".bz2": bz2.compress,
    ".lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}
TOOL_LIMIT_S = 120


def refuses(check: Callable[[BinaryIO], None], path: Path) -> str | None:
    """Why a file is refused; None where it is taken."""
    try:
        with path.open("rb") as file:
            check(file)
    except Refused as error:
        return str(error)
    return None


def flip(data: bytes, at: int, mask: int = 0x55) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def data_archives(ending: str) -> dict[str, bytes]:
    """Data archives of one compression, sound ones and others."""
    pack = CODINGS[ending]
    packed = pack(PLAIN)
    half = len(packed) // 2
    return {
        "sound": packed,
        "no member in it": pack(bytes(1024)),
        "zeros behind it": packed + bytes(512),
        "two streams": pack(PLAIN[:1024]) + pack(PLAIN[1024:]),
        "cut in half": packed[:half],
        "two bytes cut off": packed[:-2],
        "the checksum cut off": packed[:-8],
        "a flipped byte": flip(packed, half),
        "a flipped byte in a header": pack(flip(PLAIN, 10)),
        "a tar cut inside a member": pack(PLAIN[:1024]),
        "no tar": pack(b"hello" * 1000),
        "nothing in it": pack(b""),
        "bytes behind it": packed + b"garbage",
        "bytes behind the tar": pack(PLAIN + b"x" * 512),
        "no end mark": pack(PLAIN[:12288]),
    }


STRICTER_THAN_DPKG = {"bytes behind it", "bytes behind the tar", "no end mark"}
"""Bytes that belong to nothing; and a tar archive that may have been cut off between two members."""


@pytest.mark.parametrize("ending", sorted(CODINGS))
def test_only_debs_that_dpkg_cannot_unpack_are_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "x.deb"
    differs = []
    for name, data in data_archives(ending).items():
        path.write_bytes(ar(("debian-binary", b"2.0\n"), CONTROL, (f"data.tar{ending}", data)))
        done = subprocess.run(
            ["dpkg-deb", "--extract", str(path), str(tmp_path / "out")],
            capture_output=True,
            check=False,
            timeout=TOOL_LIMIT_S,
        )
        reason = refuses(check_deb, path)
        if (reason is None) != (done.returncode == 0) and not (reason and name in STRICTER_THAN_DPKG):
            differs.append((name, reason, done.returncode, done.stderr[-100:]))
        if reason:
            assert reason.startswith("its data archive ")
    assert not differs


def test_a_bomb_in_the_data_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.deb"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    header = tarfile.TarInfo("./zeros")
    header.size = 1 << 30
    parts = [packer.compress(header.tobuf()), *(packer.compress(bytes(1 << 20)) for _ in range(300)), packer.flush()]
    path.write_bytes(ar(("debian-binary", b"2.0\n"), CONTROL, ("data.tar.gz", b"".join(parts))))
    assert "its data archive is a decompression bomb" in str(refuses(check_deb, path))


GOOD_RPM = build_rpm(Rpm("hello", "1.0", "x86_64", files=(("/opt/hello", b"hi" * 500), ("/srv/x", b""))))


def test_only_rpms_that_rpm_finds_damaged_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.rpm"
    magic = b"\x8e\xad\xe8\x01"
    header = GOOD_RPM.index(magic, GOOD_RPM.index(magic) + 1)
    payload = GOOD_RPM.rindex(b"\x1f\x8b\x08")
    step = (len(GOOD_RPM) - header) // 30
    cases = [GOOD_RPM, GOOD_RPM[:-1], GOOD_RPM[: payload + 10], GOOD_RPM + b"x", GOOD_RPM[:-8] + bytes(8)]
    cases += [flip(GOOD_RPM, at) for at in (*range(header + 20, len(GOOD_RPM), step), payload, len(GOOD_RPM) - 1)]
    # Lead and signature header, but for the size that is announced: rpm does not compare it.
    announced = range(GOOD_RPM.index(len(GOOD_RPM[header:]).to_bytes(4, "big"), 96, header), header)[:4]
    cases += [flip(GOOD_RPM, at, mask) for at in range(0, header, 3) if at not in announced for mask in (1, 0x55)]
    refused = 0
    for number, data in enumerate(cases):
        path.write_bytes(data)
        # The digests alone tell too little: with `rpm --checksig`, rpm does not load the signature header.
        is_taken = all(
            subprocess.run([*command, str(path)], capture_output=True, check=False, timeout=TOOL_LIMIT_S).returncode
            == 0
            for command in (["rpm", "--checksig", "--nosignature"], ["rpm", "-qp"])
        )
        reason = refuses(check_rpm, path)
        assert (reason is None) == is_taken, (number, reason)
        refused += reason is not None
    assert refused > 25


def wheel() -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/__init__.py", b"hello = 1\n" * 200)
        archive.writestr("x-1.dist-info/METADATA", b"Metadata-Version: 2.1\nName: x\nVersion: 1\n")
        archive.writestr("x-1.dist-info/WHEEL", b"Wheel-Version: 1.0\n")
        archive.writestr("x-1.dist-info/RECORD", b"")
    return output.getvalue()


def zipfile_reads(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError):
        return False


def test_a_wheel_that_python_finds_damaged_is_refused(tmp_path: Path) -> None:
    good, path = wheel(), tmp_path / "x-1-py3-none-any.whl"
    path.write_bytes(good)
    assert refuses(check_python, path) is None
    damaged = 0
    for data in [good[:-1], good[: len(good) // 2], *(flip(good, at) for at in range(0, len(good), len(good) // 60))]:
        path.write_bytes(data)
        if not zipfile_reads(data):
            damaged += 1
            assert refuses(check_python, path)
    assert damaged > 15


def test_a_check_begins_at_the_start_wherever_the_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for check, data in ((check_rpm, GOOD_RPM), (check_python, wheel()), (check_python, gzip.compress(PLAIN))):
        path.write_bytes(data)
        with path.open("rb") as file:
            file.seek(7)
            check(file)


def test_an_sdist_whose_gzip_is_damaged_is_refused(tmp_path: Path) -> None:
    good, path = gzip.compress(PLAIN), tmp_path / "x-1.tar.gz"
    path.write_bytes(good)
    assert refuses(check_python, path) is None
    for data in (good[:-1], good[:-8], flip(good, len(good) - 6), flip(good, len(good) - 2), flip(good, 40)):
        path.write_bytes(data)
        with pytest.raises((EOFError, OSError, zlib.error)):
            gzip.decompress(data)
        assert refuses(check_python, path)


def test_an_image_with_a_damaged_layer_is_refused(tmp_path: Path) -> None:
    path, image = tmp_path / "x_1.tar", Image("web", "1.0", ((("base", b"base\n" * 500),),))
    for good in (build_classic(image), build_oci(image)):
        path.write_bytes(good)
        assert refuses(check_image, path) is None
    good = build_oci(image)
    path.write_bytes(flip(good, good.index(b"base\nbase\n") + 100))
    assert "are not those that its configuration names" in str(refuses(check_image, path))


def test_an_image_whose_layer_ends_early_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x_1.tar"
    config = json.dumps({"rootfs": {"diff_ids": [f"sha256:{hashlib.sha256(PLAIN).hexdigest()}"]}}).encode()
    listed = json.dumps([{"Config": "c", "Layers": ["a/layer.tar"]}]).encode()
    packed = gzip.compress(PLAIN)
    for layer, reason in ((packed, "None"), (packed[:-9], "its a/layer.tar is damaged: the gzip stream has no end")):
        path.write_bytes(image_tar([("c", config), ("manifest.json", listed), ("a/layer.tar", layer)]))
        assert reason in str(refuses(check_image, path))
