"""Writes the .htaccess file that tells Apache the types and digests of the manifests of one image.

Source: Apache HTTP Server 2.4, Configuration Sections.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from packrat_core.packages.image.manifest import MANIFEST_TYPE_OF_END


@dataclass(frozen=True, slots=True)
class Named:
    """A file in manifests/: its name (a tag or a digest), the ending that stands for its type, its digest."""

    name: str
    end: str
    digest: str


def write_htaccess(named: Iterable[Named]) -> bytes:
    """Write one block for each file; tags and digests can't contain Apache's wildcards, so they need no escaping."""
    return "".join(
        f'<Files "{manifest.name}">\nForceType {MANIFEST_TYPE_OF_END[manifest.end]}\n'
        f'Header set Docker-Content-Digest "{manifest.digest}"\n</Files>\n'
        for manifest in named
    ).encode()
