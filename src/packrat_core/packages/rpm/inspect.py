"""Identifies an rpm from its header: name, version and architecture."""

import re

from packrat_core.errors import Refused
from packrat_core.packages.facts import PackageFacts
from packrat_core.packages.rpm.header import Header
from packrat_core.packages.rpm.tags import (
    ARCH,
    DIR_NAMES,
    EPOCH,
    NAME,
    RELEASE,
    SOURCE_PACKAGE,
    SOURCE_RPM,
    VERSION,
    WHOLE_PATHS,
)

_WORD = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9._+~^-]*")
_VERSION_WORD = re.compile(rb"[!#-%(-,.0-9;=?-~]+")
"""Without a colon: dnf takes what stands before it for an epoch, and aborts when it shows the package."""
_ARCH_WORD = re.compile(rb"[a-z0-9_]+")


def is_source(header: Header) -> bool:
    """Return whether the header is that of a source package, as rpm decides it."""
    if SOURCE_PACKAGE in header.items:
        return True
    # Some programs name no source in binary packages. Early source packages don't say what they are, but their files
    # have no directories.
    if SOURCE_RPM in header.items:
        return False
    path = header.text(DIR_NAMES)
    if path is None:
        path = header.text(WHOLE_PATHS)
    return path is not None and b"/" not in path


def identify(header: Header) -> PackageFacts:
    """Return name, version and architecture from a header.

    Raises:
        Refused: one of them is missing or unusable, or it is a source package.
    """
    if is_source(header):
        raise Refused(
            "it is a source package; a repository for clients takes binary packages only",
            hint="upload the packages that are built from it",
        )
    name = _word(header, NAME, _WORD, "name")
    version = f"{_word(header, VERSION, _VERSION_WORD, 'version')}-{_word(header, RELEASE, _VERSION_WORD, 'release')}"
    epoch = header.numbers(EPOCH)
    if epoch and epoch[0]:
        version = f"{epoch[0]}:{version}"
    return PackageFacts(name, version, _word(header, ARCH, _ARCH_WORD, "architecture"))


def _word(header: Header, tag: int, allowed: re.Pattern[bytes], shown: str) -> str:
    value = header.text(tag)
    if value is None:
        raise Refused(f"its header has no {shown}")
    if len(value) > 255 or not allowed.fullmatch(value):
        raise Refused(f"its header has an unusable {shown}: {value[:60]!r}")
    return value.decode("ascii")
