"""Reads the three XML fragments of a binary .rpm: its entries in primary, filelists and other.

Marks stand in for the values that the index fills in later. Only the headers are read: createrepo_c gets a copy of
them, in which characters that XML can't contain are replaced.

Source: createrepo_c's Python binding.
"""

import codecs
import os
import re
from pathlib import Path

from packrat_agent.model.entries import Fragment
from packrat_core.errors import ConfigError, Refused
from packrat_core.packages.rpm.file_list import check_files
from packrat_core.packages.rpm.header import I18N, STRING, STRINGS, Header, RpmFile, walk
from packrat_core.packages.rpm.inspect import identify
from packrat_core.packages.rpm.payload import check_digests
from packrat_core.packages.rpm.rules import check_header

SHA256_MARK, HREF_MARK, SIZE_MARK = b"\1", b"\2", b"\3"
"""Marks in a fragment for the package's SHA-256, path and size; XML can't contain these bytes."""

_FRAGMENT_LIMIT = 128 * 1024 * 1024
_CHANGELOG_ENTRIES = 10
_ANYWHERE = "href"

_CONTROL = bytes(63 if byte < 32 and byte not in (0, 9, 10, 13) else byte for byte in range(256))

_LOOKS_LIKE_UTF8 = re.compile(
    rb"(?:[\x00-\x7f]|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3})*+"
)
"""Sequences of the right form, also overlong ones and surrogates: libxml2 looks no closer."""

codecs.register_error(
    "packrat_agent.question_marks",
    lambda error: ("?" * (error.end - error.start), error.end) if isinstance(error, UnicodeDecodeError) else ("", 0),
)


def read_rpm(path: Path) -> Fragment:
    """Read the fragments of a binary package; its version is `[epoch:]version-release`.

    Texts that are not UTF-8 are read as Latin-1, as createrepo_c does. Control characters become question marks.

    Returns:
        A fragment whose body is the entries in primary, filelists and other, separated by NUL bytes.

    Raises:
        Refused: the file is not an .rpm, is damaged or without digests, is a source package, or is malicious.
        ConfigError: createrepo_c can't be loaded.
    """
    with path.open("rb") as file:
        rpm = walk(file)
    facts = identify(rpm.header)
    check_header(rpm.header)
    check_files(rpm.header)
    check_digests(rpm)
    primary, filelists, other = _dump(rpm)
    body = b"\0".join((primary, filelists, other))
    if len(body) > _FRAGMENT_LIMIT:
        raise Refused(f"its metadata has {len(body)} bytes, the limit is {_FRAGMENT_LIMIT}")
    return Fragment(body, facts.name, facts.version, facts.arch, size=path.stat().st_size)


def _dump(rpm: RpmFile) -> tuple[bytes, bytes, bytes]:
    """Let createrepo_c read the headers alone: to hash the payload, it would block all other threads."""
    try:
        # Imported here, so that mirrors without rpms do not need the system library that it depends on.
        import createrepo_c
    except ImportError as error:
        raise ConfigError(
            f"rpms can't be read ({error})", hint="install GLib: `apt-get install libglib2.0-0`"
        ) from None
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
    primary, filelists, other = (text.encode("utf-8", "replace") for text in texts)
    opening, marked = f' pkgid="{pkg_id}"'.encode(), b' pkgid="' + SHA256_MARK + b'"'
    primary = _mark(primary, f">{pkg_id}</checksum>".encode(), b">" + SHA256_MARK + b"</checksum>")
    primary = _mark(primary, f'<location href="{_ANYWHERE}"/>'.encode(), b'<location href="' + HREF_MARK + b'"/>')
    primary = _mark(primary, b'<size package="0"', b'<size package="' + SIZE_MARK + b'"')
    return primary, _mark(filelists, opening, marked), _mark(other, opening, marked)


def _mark(text: bytes, old: bytes, new: bytes) -> bytes:
    """Replace a value of createrepo_c's by a mark; the package's own texts can't match, as their `<` is escaped."""
    before, found, after = text.partition(old)
    if not found:
        raise Refused(
            "createrepo_c wrote its metadata in an unknown form",
            hint="report this to the makers of packrat-agent, with the version of createrepo_c",
        )
    return before + new + after


def _scrub(header: Header) -> bytes:
    """Replace what XML can't contain, byte by byte, so that the offsets of all texts stay the same."""
    blob = bytearray(header.blob)
    for item in header.items.values():
        if item.kind in (STRING, STRINGS, I18N):
            start, end = header.store + item.start, header.store + item.end
            part = bytes(blob[start:end]).translate(_CONTROL)
            if not part.isascii():
                *texts, behind = part.split(b"\0", item.number)
                part = b"\0".join((*map(_scrub_text, texts), behind))
            blob[start:end] = part
    return bytes(blob)


def _scrub_text(text: bytes) -> bytes:
    try:
        text.decode()
    except UnicodeDecodeError:
        if not _LOOKS_LIKE_UTF8.fullmatch(text):
            return text
        # createrepo_c would take it for UTF-8, and copy it into the XML.
        text = text.decode("utf-8", "packrat_agent.question_marks").encode()
    # U+FFFE and U+FFFF are valid in UTF-8 but not in XML.
    return text.replace(b"\xef\xbf\xbe", b"???").replace(b"\xef\xbf\xbf", b"???")
