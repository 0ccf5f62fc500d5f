"""Spells out the small files of a yum repository to their last byte, from the few values that can differ in them.

A parser passes over blanks, comments and attributes that it does not know. `verify` reads the values with a parser, has
the file spelled from them here, and compares.
"""

import hashlib
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape

from packrat_agent.verify.repodata import Metadata

_LINUX = "http://linux.duke.edu/metadata"


def spell_repomd(listed: Mapping[str, Metadata], revision: str, content_tag: str) -> bytes:
    """Spell repomd.xml.

    Args:
        listed: the metadata files by their kind, in the order of the file.
        revision: in epoch seconds; it also is the time of each metadata file.
        content_tag: the mirror's description; empty where it has none.
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
    """Spell a metalink that leads to one repomd.xml; `url` is the whole address of it."""
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
    """Spell a .repo file.

    Args:
        name: the repository, as dnf and zypper call it.
        title: what they show of it.
        addresses: the lines that say where it is.
        mirror: the address of the mirror's top, where the key is.
        signed: whether metadata and packages are.
    """
    check = int(signed)
    lines = [f"[{name}]", f"name={title}", *addresses]
    lines += ["enabled=1", "autorefresh=1", "metadata_expire=300", "type=rpm-md"]
    lines += [f"gpgcheck={check}", f"repo_gpgcheck={check}", *([f"gpgkey={mirror}/repo-key"] if signed else [])]
    return ("\n".join(lines) + "\n").encode()
