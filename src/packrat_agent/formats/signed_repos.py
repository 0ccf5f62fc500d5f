"""Tells which repositories have signatures where there is a key, and which of their files are there only then.

Those of Python packages never have any.
"""

import re
from collections.abc import Mapping

from packrat_agent.formats.interface import RenderSettings
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.records import Repo

_SIGNATURES: Mapping[str, re.Pattern[str]] = {
    "apt": re.compile(r"dists/[^/]+/(InRelease|Release\.gpg)"),
    "yum": re.compile(r"[^/]+/main/[^/]+/repodata/repomd\.xml\.asc"),
    "docker": re.compile(r"sigstore/.+/signature-[0-9]+"),
    "json": re.compile(r"_repo_main/MANIFEST_all\.json\.gpg|SHA256SUMS\.(signed|gpg|asc)"),
}


def has_signatures(repo: Repo, public_url: str | None) -> bool:
    """Tell whether a repository is signed where there is a key; `public_url` is in the signatures of images."""
    kind = FORMATS.get(repo.kind)
    return (
        kind is not None and kind.signed_part(repo, RenderSettings("", signed=True, public_url=public_url)) is not None
    )


def is_signature(kind: str, path: str) -> bool:
    """Tell whether a path, relative to the directory of a repository, is that of a signature which clients check."""
    pattern = _SIGNATURES.get(kind)
    return pattern is not None and pattern.fullmatch(path) is not None
