"""Writes what Apache must know of the manifests of one image: their types and digests.

Takes: the names of manifest files, tags and digests, with their types.
Gives: a .htaccess file.
Touches: nothing.

Source: Apache HTTP Server 2.4, Configuration Sections.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from packrat_core.packages.image.manifest import MANIFEST_TYPES

_TYPE_OF = {end: media_type for media_type, end in MANIFEST_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Named:
    """One file in manifests/: its name (a tag or a digest), the ending for its type, its digest."""

    name: str
    end: str
    digest: str


def write_htaccess(named: Iterable[Named]) -> bytes:
    """One block a file; names are tags or digests, which no pattern of Apache's can be hidden in."""
    return "".join(
        f'<Files "{one.name}">\nForceType {_TYPE_OF[one.end]}\n'
        f'Header set Docker-Content-Digest "{one.digest}"\n</Files>\n'
        for one in named
    ).encode()
