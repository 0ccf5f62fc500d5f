"""Layers of images as plain bytes: odd ones that clients unpack, and what none of them can unpack."""

import lzma
import tarfile

from support.image_archives import LAYER, tar_member


def sound_layers() -> dict[str, bytes]:
    """What clients unpack, odd as it is."""
    return {
        "a layer without an end mark": LAYER.rstrip(b"\0").ljust(4096, b"\0"),
        "a layer with bytes behind its end": LAYER + b"x" * 600,
        "a layer without files": bytes(1024),
        "a layer without bytes": b"",
        "a layer that removes a file with a long name": tar_member("d/.wh." + "h" * 255, tarfile.REGTYPE) + LAYER,
        "a layer with long names": tar_member("d/" * 200 + "h" * 255, tarfile.REGTYPE, b"x") + LAYER,
    }


def unpackable_layers() -> dict[str, bytes]:
    """What no client can unpack → the plain bytes of the layer, which have the digest that the configuration names."""
    return {
        "a layer that is not a tar archive": b"<html>404 Not Found</html>\n" * 40,
        "a layer of xz": lzma.compress(LAYER),
        "a layer that is cut off": LAYER[:2000],
        "a layer that is cut off in a header": LAYER[:100],
        "a layer with a wrong checksum": b"j" + LAYER[1:],
        "a layer with a contiguous file": tar_member("hello", tarfile.CONTTYPE, b"hello\n") + LAYER,
        "a layer with a sparse file": tar_member("hello", tarfile.GNUTYPE_SPARSE) + LAYER,
        "a layer with zeros inside": bytes(512) + LAYER,
        "a layer with a broken extended header": tar_member("hello", tarfile.XHDTYPE, b"99 path=x\n") + LAYER,
        "a layer with a name too long": tar_member("h" * 256, tarfile.REGTYPE, b"hello\n") + LAYER,
        "a layer that removes a name too long": tar_member("d/.wh." + "h" * 256, tarfile.REGTYPE) + LAYER,
        "a layer with a directory name too long": tar_member(".wh." + "h" * 252 + "/x", tarfile.REGTYPE) + LAYER,
    }
