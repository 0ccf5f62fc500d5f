"""Writes out every byte that the small files of a yum repository should have, given the few values that vary.

A parser ignores whitespace, comments and unknown attributes. `verify` therefore parses the values, has the file written
from them here, and compares.
"""

import hashlib
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape

from packrat_agent.verify.repodata import Metadata

_LINUX = "http://linux.duke.edu/metadata"


def spell_repomd(listed: Mapping[str, Metadata], revision: str, content_tag: str) -> bytes:
    """Return the bytes of repomd.xml.

    Args:
        listed: The metadata files by kind, in the order of the file.
        revision: Epoch seconds; also the timestamp of each metadata file.
        content_tag: Description of the mirror; empty if it has none.
    """
    tags = f"  <tags>\n    <content>{escape(content_tag)}</content>\n  </tags>\n" if content_tag else ""
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
        f'        <url protocol="{scheme}" type="{scheme}" preference="100">{escape(url)}</url>\n'
        "      </resources>\n    </file>\n  </files>\n</metalink>\n"
    ).encode()


def spell_repo_file(name: str, title: str, addresses: Iterable[str], mirror: str, *, signed: bool) -> bytes:
    """Return the bytes of a .repo file.

    Args:
        name: Id of the repository for dnf and zypper.
        title: Name that they display.
        addresses: The lines that locate the repository.
        mirror: URL of the mirror's top, which has the key.
        signed: Whether metadata and packages are signed.
    """
    check = int(signed)
    lines = [f"[{name}]", f"name={title}", *addresses]
    lines += ["enabled=1", "autorefresh=1", "metadata_expire=300", "type=rpm-md"]
    lines += [f"gpgcheck={check}", f"repo_gpgcheck={check}", *([f"gpgkey={mirror}/repo-key"] if signed else [])]
    return ("\n".join(lines) + "\n").encode()
