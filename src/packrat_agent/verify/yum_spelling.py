"""Writes out every byte that the small files of a yum repository should have, given the few values that vary.

A parser ignores whitespace, comments and unknown attributes. `verify` therefore parses the values, has the file written
from them here, and compares.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from packrat_agent.verify.repodata import Metadata

AS_UPLOADED = "package-signatures:as-uploaded"
"""A content tag of repomd.xml: packages need not be signed by the mirror."""

_CONTENT = re.compile(rb"<content>([^<]*)</content>")
_REVISION = re.compile(rb"<revision>(\d+)</revision>")
_REPOSITORY = re.compile(rb"<repo>([^<]*)</repo>")
_LINUX = "http://linux.duke.edu/metadata"


@dataclass(frozen=True, slots=True)
class Checks:
    """Which signatures a .repo file tells clients to verify, and where the key is, relative to the mirror's top."""

    metadata: bool
    packages: bool
    key_path: str = "repo-key"


def spell_repomd(
    listed: Mapping[str, Metadata], revision: str, contents: Iterable[str], repository: str | None
) -> bytes:
    """Return the bytes of repomd.xml.

    Args:
        listed: The metadata files by kind, in the order of the file.
        revision: Epoch seconds; also the timestamp of each metadata file.
        contents: Texts of the content tags.
        repository: Text of the repo tag; None if there is none.
    """
    tags = "".join(f"    <content>{escape(text, quote=False)}</content>\n" for text in contents)
    tags += f"    <repo>{escape(repository, quote=False)}</repo>\n" if repository is not None else ""
    tags = f"  <tags>\n{tags}  </tags>\n" if tags else ""
    data = "".join(
        f'  <data type="{kind}">\n'
        f'    <checksum type="sha256">{file.sha256}</checksum>\n'
        f'    <open-checksum type="sha256">{file.open_sha256}</open-checksum>\n'
        f'    <location href="{file.href}"/>\n'
        f"    <timestamp>{revision}</timestamp>\n"
        f"    <size>{file.size}</size>\n"
        f"    <open-size>{file.open_size}</open-size>\n"
        "  </data>\n"
        for kind, file in listed.items()
    )
    opening = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<repomd xmlns="{_LINUX}/repo" xmlns:rpm="{_LINUX}/rpm">\n  <revision>{revision}</revision>\n'
    )
    return f"{opening}{tags}{data}</repomd>\n".encode()


def read_content_tags(repomd: bytes) -> list[str]:
    """Return the texts of the content tags of a repomd.xml."""
    return [_unescape(text.decode("utf-8", "replace")) for text in _CONTENT.findall(repomd)]


def read_revision(repomd: bytes) -> str:
    """Return the revision of a repomd.xml, '' where it has none."""
    match = _REVISION.search(repomd)
    return "" if match is None else match[1].decode()


def read_repository(repomd: bytes) -> str | None:
    """Return the name of the repository that a repomd.xml is of; None if it says none."""
    match = _REPOSITORY.search(repomd)
    return _unescape(match[1].decode("utf-8", "replace")) if match else None


def _unescape(text: str) -> str:
    """Undo `escape`; other references stay as they are."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def spell_metalink(url: str, repomd: bytes, revision: str) -> bytes:
    """Return the bytes of a metalink to one repomd.xml.

    Args:
        url: Full URL of repomd.xml.
        repomd: Its content.
        revision: Epoch seconds.
    """
    scheme = url.partition(":")[0]
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" '
        'xmlns:mm0="http://fedorahosted.org/mirrormanager">\n'
        '  <files>\n    <file name="repomd.xml">\n'
        f"      <mm0:timestamp>{revision}</mm0:timestamp>\n      <size>{len(repomd)}</size>\n"
        f'      <verification>\n        <hash type="sha256">{hashlib.sha256(repomd).hexdigest()}</hash>\n'
        '      </verification>\n      <resources maxconnections="1">\n'
        f'        <url protocol="{scheme}" type="{scheme}" preference="100">{escape(url, quote=False)}</url>\n'
        "      </resources>\n    </file>\n  </files>\n</metalink>\n"
    ).encode()


def spell_repo_file(
    name: str, title: str, addresses: Iterable[str], mirror: str, checks: Checks, *, has_hotfixes: bool
) -> bytes:
    """Return the bytes of a .repo file.

    Args:
        name: Id of the repository for dnf and zypper.
        title: Name that they display.
        addresses: The lines that locate the repository.
        mirror: URL of the mirror's top, which has the key.
        checks: What clients are told to verify.
        has_hotfixes: Whether dnf is told that modules don't concern the repository; trees of older agents say nothing.
    """
    lines = [f"[{name}]", f"name={title}", *addresses]
    lines += ["enabled=1", "autorefresh=1", "metadata_expire=300", "type=rpm-md"]
    if has_hotfixes:
        lines.append("module_hotfixes=1")
    lines += [f"gpgcheck={int(checks.packages)}", f"repo_gpgcheck={int(checks.metadata)}"]
    if checks.metadata:
        lines.append(f"gpgkey={mirror}/{checks.key_path}")
    return ("\n".join(lines) + "\n").encode()
