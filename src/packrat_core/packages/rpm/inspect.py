"""Reads the three XML fragments of a binary .rpm, trusting nothing in it.

Takes: the path of an .rpm.
Gives: a Fragment: its entries in primary, filelists and other, with marks where the index fills in its own.
Touches: the file, no further than its header.

Source: rpm.org, "Tags"; createrepo_c's Python binding.
"""

import codecs
import os
import re
from contextlib import suppress
from pathlib import Path

from packrat_agent.model.entries import Fragment
from packrat_core.errors import ConfigError, Refused
from packrat_core.packages.rpm.header import I18N, INT16, INT32, INT64, STRING, STRINGS, Header, RpmFile, walk

SHA256_MARK, HREF_MARK, SIZE_MARK = b"\1", b"\2", b"\3"
"""Stand in a fragment for the package's SHA-256, its place and its size; XML can't contain these bytes."""

_PATHS_LIMIT = 32 * 1024 * 1024
_FRAGMENT_LIMIT = 128 * 1024 * 1024
_CHANGELOG_ENTRIES = 10
_ANYWHERE = "href"

_NAME, _VERSION, _RELEASE, _EPOCH, _BUILD_TIME, _ARCH = 1000, 1001, 1002, 1003, 1006, 1022
_SOURCE_RPM, _SOURCE_PACKAGE = 1044, 1106
_DIR_INDEXES, _BASE_NAMES, _DIR_NAMES = 1116, 1117, 1118
_TOGETHER = (
    *((1047, 1112, 1113), (1049, 1048, 1050), (1054, 1053, 1055), (1090, 1114, 1115)),
    *((5046, 5048, 5047), (5049, 5051, 5050), (5052, 5054, 5053), (5055, 5057, 5056)),
    *((1081, 1080, 1082), (_BASE_NAMES, _DIR_INDEXES, _BASE_NAMES)),
)
"""Tags of (names, numbers, texts) that belong together, value by value."""

_KINDS: dict[int, tuple[int, ...]] = {
    **dict.fromkeys((1000, 1001, 1002, 1007, 1010, 1011, 1014, 1015, 1020, 1021, 1022, 1044), (STRING,)),
    **dict.fromkeys((1004, 1005, 1016), (STRING, I18N)),
    **dict.fromkeys((1003, 1006, 1009, 1028, 1034, 1037, 1045, 1046, 1106), (INT32,)),
    **dict.fromkeys((5008, 5009), (INT64,)),
    **dict.fromkeys((1030, 1033), (INT16,)),
    **dict.fromkeys((1027, 1035, 1036, 1039, 1040, _DIR_NAMES), (STRINGS,)),
    **{
        tag: (kind,)
        for names, numbers, texts in _TOGETHER
        for tag, kind in ((names, STRINGS), (numbers, INT32), (texts, STRINGS))
    },
}
"""The types that rpm gives these tags; createrepo_c takes them for granted."""

_WORD = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._+~^-]*")
_VERSION_WORD = re.compile(rb"[!#-%(-,.0-;=?-~]+")
_ARCH_WORD = re.compile(rb"[a-z0-9_]+")
_CONTROL = bytes(63 if byte < 32 and byte not in (0, 9, 10, 13) else byte for byte in range(256))

codecs.register_error(
    "packrat_agent.question_marks",
    lambda error: ("?" * (error.end - error.start), error.end) if isinstance(error, UnicodeDecodeError) else ("", 0),
)


def read_rpm(path: Path) -> Fragment:
    """Give the fragments of a binary package; its version is `[epoch:]version-release`.

    Control characters and bytes that are no UTF-8 become question marks.
    Raises: Refused where the file is no .rpm, is torn, a source package, or made to harm; ConfigError where
    createrepo_c can't be loaded.
    """
    with path.open("rb") as file:
        rpm = walk(file)
    name, version, arch = identify(rpm.header)
    _check(rpm.header)
    primary, filelists, other = _dump(rpm)
    body = b"\0".join((primary, filelists, other))
    if len(body) > _FRAGMENT_LIMIT:
        raise Refused(f"its metadata has {len(body)} bytes, the limit is {_FRAGMENT_LIMIT}")
    return Fragment(body, name, version, arch)


def is_source(header: Header) -> bool:
    """Say whether the header is that of a source package."""
    return _SOURCE_PACKAGE in header.items or header.text(_SOURCE_RPM) is None


def identify(header: Header) -> tuple[str, str, str]:
    """Give name, `[epoch:]version-release` and arch.

    Raises: Refused where one of them is missing or unusable, or it is a source package.
    """
    if is_source(header):
        raise Refused("it is a source package; a repository for clients takes binary packages only")
    name = _word(header, _NAME, _WORD, "name")
    version = f"{_word(header, _VERSION, _VERSION_WORD, 'version')}-{_word(header, _RELEASE, _VERSION_WORD, 'release')}"
    epoch = header.numbers(_EPOCH)
    if epoch and epoch[0]:
        version = f"{epoch[0]}:{version}"
    return name, version, _word(header, _ARCH, _ARCH_WORD, "architecture")


def _word(header: Header, tag: int, allowed: re.Pattern[bytes], shown: str) -> str:
    value = header.text(tag)
    if value is None:
        raise Refused(f"its header has no {shown}")
    if len(value) > 255 or not allowed.fullmatch(value):
        raise Refused(f"its header has an unusable {shown}: {value[:60]!r}")
    return value.decode("ascii")


def _check(header: Header) -> None:
    """Hold the header to what createrepo_c takes for granted, and to what its output may grow to."""
    for tag, item in header.items.items():
        if item.kind not in _KINDS.get(tag, (item.kind,)):
            raise Refused(f"its header is broken: tag {tag} has type {item.kind}")
    for together in _TOGETHER:
        if len({header.items[tag].count for tag in together if tag in header.items}) > 1:
            raise Refused(f"its header is broken: tags {together} differ in length")
    lengths = [len(one) for one in header.texts(_DIR_NAMES)]
    try:
        paths = sum(lengths[index] for index in header.numbers(_DIR_INDEXES))
    except IndexError:
        raise Refused("its header is broken: a file stands in a directory that is not listed") from None
    if paths > _PATHS_LIMIT:
        raise Refused(f"the paths of its files have more than {_PATHS_LIMIT} bytes")


def _dump(rpm: RpmFile) -> tuple[bytes, bytes, bytes]:
    """Have createrepo_c read the front of the file alone: it would hash the payload, holding up all other threads."""
    try:
        # Here, so that mirrors without rpms do without the system's library that it needs.
        import createrepo_c
    except ImportError as error:
        raise ConfigError(f"rpms can't be read ({error}); install GLib: `apt-get install libglib2.0-0`") from None
    descriptor = os.memfd_create("rpm")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as copy:
            copy.write(rpm.front[: rpm.start])
            copy.write(_scrub(rpm.header))
        package = createrepo_c.package_from_rpm(
            f"/proc/self/fd/{descriptor}", createrepo_c.SHA256, _ANYWHERE, None, _CHANGELOG_ENTRIES
        )
        package.time_file, package.size_package = package.time_build, 0
        texts = createrepo_c.xml_dump(package)
        pkg_id = package.pkgId
    except (createrepo_c.CreaterepoCError, UnicodeError, ValueError, OSError, OverflowError) as error:
        raise Refused(f"createrepo_c can't read its header: {error}") from None
    finally:
        os.close(descriptor)
    if not all(isinstance(text, str) for text in texts):
        raise Refused("createrepo_c can't read its header")
    primary, filelists, other = (text.encode("utf-8", "replace").translate(_CONTROL) for text in texts)
    opening, marked = f' pkgid="{pkg_id}"'.encode(), b' pkgid="' + SHA256_MARK + b'"'
    primary = _mark(primary, f">{pkg_id}</checksum>".encode(), b">" + SHA256_MARK + b"</checksum>")
    primary = _mark(primary, f'<location href="{_ANYWHERE}"/>'.encode(), b'<location href="' + HREF_MARK + b'"/>')
    primary = _mark(primary, b'<size package="0"', b'<size package="' + SIZE_MARK + b'"')
    return primary, _mark(filelists, opening, marked), _mark(other, opening, marked)


def _mark(text: bytes, old: bytes, new: bytes) -> bytes:
    """Put a mark in place of what createrepo_c wrote; texts of the package can't look like it, their `<` is escaped."""
    before, found, after = text.partition(old)
    if not found:
        raise Refused("createrepo_c wrote its metadata in an unknown form")
    return before + new + after


def _scrub(header: Header) -> bytes:
    """Replace what XML can't contain, byte by byte: every text stays where it is."""
    blob = bytearray(header.blob)
    for item in header.items.values():
        if item.kind not in (STRING, STRINGS, I18N):
            continue
        start, end = header.store + item.start, header.store + item.end
        part = bytes(blob[start:end]).translate(_CONTROL)
        if not part.isascii():
            with suppress(UnicodeError):
                part = part.decode("utf-8", "packrat_agent.question_marks").encode()
            part = part.replace(b"\xef\xbf\xbe", b"???").replace(b"\xef\xbf\xbf", b"???")
        blob[start:end] = part
    return bytes(blob)
