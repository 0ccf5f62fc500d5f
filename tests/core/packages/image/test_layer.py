"""Which layers clients can unpack; `tests/clients/test_containerd.py` asks one of them about each of these."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_core.archives import limits
from packrat_core.errors import Refused
from packrat_core.packages.image.layer import LayerTar
from packrat_core.packages.image.payload import check_payload
from support.image_archives import LAYER, oci
from support.odd_images import bad_images
from support.odd_layers import unpackable_layers

_UNPACKABLE = unpackable_layers()


def check(data: bytes, size: int = 256 * 1024) -> None:
    """Read a layer in parts of this size."""
    layer = LayerTar()
    for at in range(0, len(data), size):
        layer.feed(data[at : at + size])
    layer.finish()


def member(put: dict[int, bytes], data: bytes = b"hi", kind: bytes = b"0") -> bytes:
    """A member with some bytes of its header replaced, and the checksum that belongs to it."""
    made = tarfile.TarInfo("hello")
    made.size = len(data)
    header = bytearray(made.tobuf(tarfile.USTAR_FORMAT)[:512])
    header[156:157] = kind
    for at, value in put.items():
        header[at : at + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + bytes(-len(data) % 512)


def pax(*records: bytes) -> bytes:
    return member({}, b"".join(records), b"x")


@pytest.mark.parametrize("name", sorted(_UNPACKABLE))
def test_layers_that_clients_cannot_unpack_are_refused(name: str) -> None:
    with pytest.raises(Refused):
        check(_UNPACKABLE[name])


@given(st.integers(1, 1500))
def test_the_parts_in_which_it_comes_change_nothing(size: int) -> None:
    check(LAYER + b"x", size)
    for layer in _UNPACKABLE.values():
        with pytest.raises(Refused):
            check(layer, size)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_layers_of_tar_are_read(form: int) -> None:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=form) as archive:
        for name, kind in (
            ("d", tarfile.DIRTYPE),
            ("f", tarfile.REGTYPE),
            ("l", tarfile.SYMTYPE),
            ("h", tarfile.LNKTYPE),
        ):
            made = tarfile.TarInfo(name)
            made.type, made.linkname, made.size = kind, "f", 700 if kind == tarfile.REGTYPE else 0
            archive.addfile(made, io.BytesIO(bytes(700)))
        if form != tarfile.USTAR_FORMAT:
            odd = tarfile.TarInfo("é" * 127 + "/" + "n" * 255)
            odd.uid, odd.mtime = 1 << 30, -1.5 if form == tarfile.PAX_FORMAT else -1
            archive.addfile(odd)
    check(output.getvalue())


# Go's archive/tar decides: it reads these headers, and not those below.
@pytest.mark.parametrize(
    "layer",
    [
        member({124: b"          2 "}),
        member({124: b"\x80" + bytes(10) + b"\2"}),
        member({136: b"\xff" * 12}),
        member({257: b"junk!!!!", 329: b"junk"}),
        member({345: b"prefix", 257: b"ustar  \0"}),
        member({124: b"00000000777\0"}, b"", kind=b"5") + LAYER,
        member({0: b"hello/\0", 124: b"00000000777\0"}, b"", kind=b"\0") + LAYER,
        member({}, b"21 comment=something\n", kind=b"g") + LAYER,
        pax(b"10 size=2\n") + member({124: b"00000000000\0"}),
        pax(b"10 uid=-1\n", b"14 mtime=-1.5\n", b"14 SCHILY.x=\0\n") + LAYER,
        pax(b"8 size=\n") + LAYER,
        pax(b"10 path=x\n") * 2 + LAYER,
        pax(b"10 path=x\n"),
        LAYER + bytes(512),
    ],
)
def test_layers_that_go_reads_are_read(layer: bytes) -> None:
    check(layer)


@pytest.mark.parametrize(
    "layer",
    [
        member({124: b"99999999999\0"}),
        member({124: b"\xff" * 12}),
        member({136: b"\xbf" + b"\xff" * 11}),
        member({100: b"junk"}),
        member({329: b"junk"}),
        member({257: b"ustar\0", 508: b"tar\0", 476: b"junk"}),
        pax(b"11 size=-2\n") + LAYER,
        pax(b"12 size=abc\n") + LAYER,
        pax(b"14 mtime=1.5x\n") + LAYER,
        pax(b"11 path=x\0\n") + LAYER,
        pax(b"10 a\0bc=x\n") + LAYER,
        pax(b"6 =abc\n") + LAYER,
        pax(b"9 nothing\n") + LAYER,
        pax(b"10 path=xy"),
        pax(b"x" * (1024 * 1024 + 1)),
        member({}, b"9 broken\n", kind=b"g") + LAYER,
        LAYER[:512] + b"x",
        LAYER.rstrip(b"\0") + bytes(-len(LAYER.rstrip(b"\0")) % 512 + 512) + b"x" * 512,
    ],
)
def test_layers_that_go_does_not_read_are_refused(layer: bytes) -> None:
    with pytest.raises(Refused):
        check(layer)


def test_a_layer_damaged_on_the_way_is_reported_as_such() -> None:
    """Its packager has nothing to mend."""
    archive = oci()
    at = archive.index(LAYER)
    damaged = archive[:at] + b"j" + archive[at + 1 :]
    with pytest.raises(Refused, match="not those that its manifest names"):
        check_payload(io.BytesIO(damaged))
    with pytest.raises(Refused, match=r"its layer sha256:\w+ can't be unpacked: its bytes are not a tar archive"):
        check_payload(io.BytesIO(bad_images()["a layer with a wrong checksum"]))


def test_reading_a_layer_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a few hundred kilobytes can hold millions of records."""
    check_payload(io.BytesIO(oci()))
    monkeypatch.setattr(limits, "_CPU_S", 0.0)
    monkeypatch.setattr(limits, "_CPU_S_PER_BYTE", 0.0)
    with pytest.raises(Refused, match="it takes too long to unpack"):
        check_payload(io.BytesIO(oci()))
