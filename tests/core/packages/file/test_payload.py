"""Archives of no package type: what ends early is refused, what the tools read is taken."""

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
import zipfile
from collections.abc import Callable

import pytest
from backports import zstd

from packrat_core.errors import Damaged, Refused
from packrat_core.packages.file.payload import check_payload
from packrat_demo.build_image import tar

PLAIN = tar([(f"f{number}", bytes([number]) * 3000 + b"hello" * 100) for number in range(3)])
PACK: dict[str, Callable[[bytes], bytes]] = {
    "tar.gz": gzip.compress,
    "tgz": gzip.compress,
    "gz": gzip.compress,
    "tar.xz": lzma.compress,
    "txz": lzma.compress,
    "tar.bz2": bz2.compress,
    "tbz2": bz2.compress,
    "tar.zst": zstd.compress,
    "TAR.ZST": zstd.compress,
}


def check(data: bytes, ending: str) -> None:
    check_payload(io.BytesIO(data), f"tool_1.0.{ending}")


@pytest.mark.parametrize("ending", sorted(PACK))
def test_a_compressed_file_that_ends_early_is_refused(ending: str) -> None:
    packed = PACK[ending](PLAIN)
    check(packed, ending)
    # Parallel compressors write several streams.
    check(packed + PACK[ending](PLAIN), ending)
    for cut in (len(packed) // 2, len(packed) - 1):
        for torn in (packed[:cut], packed + packed[:cut]):
            with pytest.raises(Refused):
                check(torn, ending)


def test_bytes_of_something_else_are_taken_as_they_are() -> None:
    for ending in (*PACK, "tar", "zip", "bin"):
        check(b"nothing of the kind", ending)
        check(b"", ending)


def test_xz_may_be_padded_between_streams_and_others_only_at_the_end() -> None:
    check(lzma.compress(PLAIN) + bytes(8) + lzma.compress(PLAIN) + bytes(4), "tar.xz")
    check(bz2.compress(PLAIN) + bytes(512), "tar.bz2")
    with pytest.raises(Refused, match="bytes after the end"):
        check(bz2.compress(PLAIN) + bytes(512) + bz2.compress(PLAIN), "tar.bz2")


_TOOLS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gz": ("gzip", gzip.compress),
    "xz": ("xz", lzma.compress),
    "bz2": ("bzip2", bz2.compress),
    "zst": ("zstd", zstd.compress),
}
_ZEROS = [0, 1, 3, 4, 6, 8, 512]


@pytest.mark.parametrize("ending", _TOOLS)
def test_zeros_behind_a_stream_are_taken_as_the_tools_take_them(ending: str) -> None:
    tool, pack = _TOOLS[ending]
    first, second = pack(b"first"), pack(b"second")
    at_the_end = [first * times + bytes(zeros) for times in (1, 2) for zeros in _ZEROS]
    between = [first + bytes(zeros) + second + bytes(more) for zeros in _ZEROS[1:] for more in (0, 4)]
    for data in (*at_the_end, *between):
        done = subprocess.run([tool, "-dc"], input=data, capture_output=True, check=False)
        # bzip2 and gzip stop at a second stream behind zeros, and call it garbage.
        is_whole = done.returncode == 0 and done.stdout == b"first" * data.count(first) + b"second" * data.count(second)
        assert is_taken(data, ending) == is_whole, (data, done.stderr)


def is_taken(data: bytes, ending: str) -> bool:
    try:
        check(data, ending)
    except Refused:
        return False
    return True


def test_zstd_frames_that_are_to_be_skipped_are_skipped() -> None:
    skipped = (0x184D2A50).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    check(skipped + zstd.compress(PLAIN) + skipped, "tar.zst")


def test_a_tar_that_ends_early_is_refused_and_an_odd_one_is_taken() -> None:
    check(PLAIN, "tar")
    end = len(PLAIN.rstrip(b"\0")) // 512 * 512 + 512
    for torn in (PLAIN[:700], PLAIN[: end - 600], PLAIN[:end], PLAIN[:100] + b"x" + PLAIN[101:]):
        with pytest.raises(Refused, match="damaged"):
            check(torn, "tar")
    for kind in (tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE):
        odd = tarfile.TarInfo("../odd")
        odd.type = kind
        check(odd.tobuf(tarfile.GNU_FORMAT) + PLAIN, "tar")


def test_a_zip_without_its_directory_is_refused() -> None:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("x", b"hello" * 100)
    check(output.getvalue(), "zip")
    with pytest.raises(Refused, match="no directory"):
        check(output.getvalue()[:-30], "zip")


@pytest.mark.parametrize("first", [0x50, 0x5F])
def test_a_zstd_file_that_begins_with_a_frame_to_skip_is_read_to_its_end(first: int) -> None:
    whole = bytes([first]) + b"\x2a\x4d\x18\x04\0\0\0size" + zstd.compress(b"hello" * 1000)
    assert subprocess.run(["zstd", "-dc"], input=whole, capture_output=True, check=True).stdout == b"hello" * 1000
    check(whole, "zst")
    with pytest.raises(Damaged, match="the zstd stream has no end"):
        check(whole[:-3], "zst")
