"""Writes the files that lead clients to the metadata: repomd.xml, mirrorlist, metalink and the .repo file.

Source: createrepo_c; Metalink 3.0 as librepo and libzypp read it; yum.conf(5), dnf.conf(5).
"""

import hashlib
from collections.abc import Sequence
from urllib.parse import quote
from xml.sax.saxutils import escape

from packrat_agent.formats.interface import RenderSettings
from packrat_agent.formats.yum.repodata import Metadata
from packrat_agent.model.records import Repo

MIRROR_MARK = "@MIRROR@"
"""Placeholder in a .repo file for the address of root_dir if `public_url` is not set."""

AS_UPLOADED = "package-signatures:as-uploaded"
"""A content tag of repomd.xml: packages need not be signed by this mirror."""

_EXPIRE_S = 300
_LINUX = "http://linux.duke.edu/metadata"


def write_repomd(metadata: Sequence[Metadata], revision: int, contents: Sequence[str]) -> bytes:
    """Write repomd.xml.

    Args:
        metadata: the metadata files, in the order in which they are listed.
        revision: epoch seconds; also the timestamp of each file.
        contents: the texts of the content tags.
    """
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<repomd xmlns="{_LINUX}/repo" xmlns:rpm="{_LINUX}/rpm">',
        f"  <revision>{revision}</revision>",
    ]
    if contents:
        lines += ["  <tags>", *(f"    <content>{escape(text)}</content>" for text in contents), "  </tags>"]
    for file in metadata:
        lines += [
            f'  <data type="{file.kind}">',
            f'    <checksum type="sha256">{file.content.digest}</checksum>',
            f'    <open-checksum type="sha256">{file.open_checksum}</open-checksum>',
            f'    <location href="repodata/{file.name}"/>',
            f"    <timestamp>{revision}</timestamp>",
            f"    <size>{file.content.size}</size>",
            f"    <open-size>{file.open_size}</open-size>",
            "  </data>",
        ]
    return ("\n".join([*lines, "</repomd>"]) + "\n").encode()


def write_mirrorlist(generation_url: str) -> bytes:
    """Write the file that `mirrorlist=` reads, with the address of the newest generation."""
    return f"{generation_url}/\n".encode()


def write_metalink(generation_url: str, repomd: bytes, revision: int) -> bytes:
    """Write the file that `metalink=` reads, with the address of the newest generation's repomd.xml and its checksum.

    Args:
        generation_url: the address of the generation, without a trailing slash.
        repomd: the content of its repomd.xml.
        revision: the revision in it, in epoch seconds.
    """
    scheme = generation_url.partition(":")[0]
    address = escape(f"{generation_url}/repodata/repomd.xml")
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic"'
        ' xmlns:mm0="http://fedorahosted.org/mirrormanager">',
        "  <files>",
        '    <file name="repomd.xml">',
        f"      <mm0:timestamp>{revision}</mm0:timestamp>",
        f"      <size>{len(repomd)}</size>",
        "      <verification>",
        f'        <hash type="sha256">{hashlib.sha256(repomd).hexdigest()}</hash>',
        "      </verification>",
        '      <resources maxconnections="1">',
        f'        <url protocol="{scheme}" type="{scheme}" preference="100">{address}</url>',
        "      </resources>",
        "    </file>",
        "  </files>",
        "</metalink>",
    ]
    return ("\n".join(lines) + "\n").encode()


def write_repo_file(repo: Repo, top: str, title: str, settings: RenderSettings) -> bytes:
    """Write the .repo file of one distribution version.

    Args:
        repo: the repository.
        top: the directory of the distribution version in the repository.
        title: the name that clients show.
        settings: the address and whether the repository is signed.
    """
    mirror = settings.public_url or MIRROR_MARK
    base = f"{mirror}/{quote(f'{repo.directory}/{top}')}"
    # A package that this mirror did not sign needs its maker's key, which only the client's administrator can give.
    check = int(settings.signed)
    check_packages = int(settings.signed and settings.signs_all_packages)
    lines = [f"[{repo.name}]", f"name={' '.join(title.split()) or repo.name}"]
    if settings.public_url:
        lines += [f"mirrorlist={base}/mirrorlist", f"#metalink={base}/metalink", f"#baseurl={base}/"]
    else:
        lines.append(f"baseurl={base}/")
    # Without these, zypper never looks for new packages by itself, and dnf does only every two days.
    lines += ["enabled=1", "autorefresh=1", f"metadata_expire={_EXPIRE_S}", "type=rpm-md"]
    lines += [f"gpgcheck={check_packages}", f"repo_gpgcheck={check}"]
    if settings.signed:
        lines.append(f"gpgkey={mirror}/repo-key")
    return ("\n".join(lines) + "\n").encode()
