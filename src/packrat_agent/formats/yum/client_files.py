"""Writes the files that lead clients to the repodata: the .repo file, the mirror list and the metalink.

1. A .repo file leads dnf and yum to a mirror list if `public_url` is set, else to the repository itself.
2. The mirror list and the metalink name the newest generation.

Source: Metalink 3.0 as librepo and libzypp read it; yum.conf(5), dnf.conf(5).
"""

import hashlib
from urllib.parse import quote
from xml.sax.saxutils import escape

from packrat_agent.formats.interface import RenderSettings
from packrat_agent.model.records import Repo

MIRROR_MARK = "@MIRROR@"
"""Placeholder in a .repo file for the address of root_dir if `public_url` is not set."""

_EXPIRE_S = 300


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
    # The metadata has no modules: without this, dnf installs no package that is labelled as a module's, and hides those
    # that have the name of one in a module of another repository.
    lines.append("module_hotfixes=1")
    lines += [f"gpgcheck={check_packages}", f"repo_gpgcheck={check}"]
    if settings.signed:
        lines.append(f"gpgkey={mirror}/{settings.key_place.armored}")
    return ("\n".join(lines) + "\n").encode()
