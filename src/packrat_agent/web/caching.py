"""Says how long caches may keep what the built-in web server sends, by the rules of the site files.

1. What a name or a hash ties to the same bytes for ever is kept: package files, metadata named by their checksum, the
   metadata of a generation, what images are made of.
2. Caches ask again for everything else, since it may change at any moment.
"""

import re
from pathlib import Path
from urllib.parse import unquote

from packrat_agent.formats.interface import IMMUTABLE
from packrat_agent.formats.pypi.layout import SIMPLE

ASK_AGAIN = "no-cache"
"""Cache-Control of files that may change."""

_HASH = "[0-9a-f]{64}"
_NEVER_CHANGES = re.compile(
    r".*/pool/[^/]+/[^/]+\.d?deb"
    rf"|.*/by-hash/SHA256/{_HASH}"
    rf"|.*/repodata/{_HASH}-[a-z]+\.xml\.gz"
    r"|.*/generations/[^/]+/repodata/[^/]+"
    rf"|/v2/.*/(?:blobs|manifests)/sha256:{_HASH}"
)
_PYTHON_PACKAGE = re.compile(r"/(?P<repo>.+)/packages/[^/]+/[^/]+\.(?:whl|whl\.metadata|tar\.gz|zip)")


def choose_caching(root: Path, raw: str) -> str:
    """Choose the Cache-Control for what is sent.

    Args:
        root: The directory that is served.
        raw: The path of the request as it came; what it names is there, below root.
    """
    path = unquote(raw, errors="replace")
    if _NEVER_CHANGES.fullmatch(path):
        return IMMUTABLE
    # A repository of files may have such a path, too, and its files may change.
    found = _PYTHON_PACKAGE.fullmatch(path)
    return IMMUTABLE if found is not None and (root / found["repo"] / SIMPLE).is_dir() else ASK_AGAIN
