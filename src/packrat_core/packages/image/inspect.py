"""Tells image archives from other tar files.

Source: OCI Image Layout Specification 1.1; the archives of docker 1.10 to 28.
"""

from pathlib import Path

from packrat_core.errors import Refused
from packrat_core.packages.image.archive import list_members

INDEX_FILE = "index.json"
CLASSIC_FILE = "manifest.json"
_LAYOUT_FILE = "oci-layout"


def is_image_archive(path: Path) -> bool:
    """Return whether a file is an image archive, judging by the names of its members."""
    try:
        with path.open("rb") as file:
            members = list_members(file)
    except (Refused, OSError):
        return False
    return CLASSIC_FILE in members or (INDEX_FILE in members and _LAYOUT_FILE in members)
